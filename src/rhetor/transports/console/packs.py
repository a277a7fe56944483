"""The modules of the console as browsers get them: those of a view in one file, a pack.

Many small files take more bytes than a few, because each is compressed by itself, and more time, because each
is a request. In a pack, each module is a function that returns what the module exports. A module is in the
first pack that needs it, and later packs import it from there.

This is no parser of JavaScript. The modules of the console import and export in a few forms, each on a line
of its own. A pack with any other form is rejected, and a test builds all packs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

# the packs, each with the modules where it begins: those that are loaded by `import(…)`
PACKS = {
    "app": ("app/main.js", "views/peers.js"),
    "permissions": ("views/permissions.js", "parts/alerts.js"),
    "markdown": ("parts/markdown.js",),
    "sessions": ("views/sessions.js", "views/session.js", "views/log.js", "views/timeline.js"),
    "line": ("views/line.js",),
    "terminals": ("views/terminals.js", "views/terminal.js"),
    "hub": (
        "views/peer.js",
        "views/search.js",
        "views/health.js",
        "views/costs.js",
        "views/settings.js",
        "parts/settings_access.js",
        "parts/settings_configuration.js",
        "parts/settings_models.js",
    ),
}
_IMPORT = re.compile(r'^import (?:([\w$]+)|\{([^}]*)\}) from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (default )?((?:async )?function\*?|class|const) ([\w$]+)(?=[ (])", re.MULTILINE
)
_OTHER_FORM = re.compile(r"^(?:import\b(?!\().*|export\b.*|await\b.*)", re.MULTILINE)
_LOADED = re.compile(r'\bimport\("#([^"]+)"\)')


class Module(Struct, frozen=True):
    """A module, taken apart. `imports`: {source: {name here: name there}}; the name of another module begins
    with `#`. `exports`: {name there: name here}."""

    imports: Mapping[str, Mapping[str, str]]
    exports: Mapping[str, str]
    body: str

    @property
    def needed(self) -> list[str]:
        return [source.removeprefix("#") for source in self.imports if source.startswith("#")]


def packs(roots: Mapping[str, Iterable[str]], read: Callable[[str], str]) -> dict[str, str]:
    """Return the text of each pack. `roots`: the names of the packs, with the modules where they begin.
    `read`: returns the text of a module.

    Raises:
        ValueError: a module imports or exports in a form that is not known here, or modules import each
            other.
    """
    place: dict[str, str] = {}  # module: its pack
    modules: dict[str, Module] = {}  # those that are imported come first

    def add(name: str, pack: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"{name} and {above[-1]} import each other")
        if name not in modules:
            module = taken_apart(name, read(name))
            for other in module.needed:
                add(other, pack, (*above, name))
            modules[name], place[name] = module, pack

    for pack, names in roots.items():
        for name in names:
            add(name, pack, ())
    return {pack: _pack(pack, modules, place) for pack in roots}


def imported(text: str) -> list[str]:
    """Return the names of what a pack imports when it is loaded."""
    return [source for _, _, source in _IMPORT.findall(text)]


def taken_apart(name: str, text: str) -> Module:
    """Return the imports, the exports and the rest of a module.

    Raises:
        ValueError: as `packs`.
    """
    imports: dict[str, dict[str, str]] = {}
    for default, names, source in _IMPORT.findall(text):
        imports.setdefault(source, {}).update({default: "default"} if default else _names(names))
    exports = {"default" if default else local: local for default, _, local in _EXPORT.findall(text)}
    body = _EXPORT.sub(r"\2 \3", _IMPORT.sub("", text)).strip()
    if other := _OTHER_FORM.search(body):
        raise ValueError(f"{name}: import and export as the other modules do, not with {other[0]!r}")
    return Module(imports, exports, body)


def _names(text: str) -> Iterator[tuple[str, str]]:
    for each in filter(None, map(str.strip, text.split(","))):
        there, _, here = each.partition(" as ")
        yield here or there, there


def _pack(pack: str, modules: Mapping[str, Module], place: Mapping[str, str]) -> str:
    own = {name: module for name, module in modules.items() if place[name] == pack}
    lines = [*_imports(pack, own, place), *(_function(name, module) for name, module in own.items())]

    def load(found: re.Match[str]) -> str:
        name = found[1]
        return f'import("#{place[name]}").then((pack) => pack.{_identifier(name)})'

    return _LOADED.sub(load, "\n".join(lines)) + "\n"


def _imports(pack: str, own: Mapping[str, Module], place: Mapping[str, str]) -> Iterator[str]:
    """The imports of a pack: from libraries what its modules take, and from other packs whole modules."""
    taken: dict[str, set[str]] = {}
    for module in own.values():
        for source, names in module.imports.items():
            if source.startswith("#"):
                name = source.removeprefix("#")
                if place[name] != pack:
                    taken.setdefault(f"#{place[name]}", set()).add(_identifier(name))
            else:
                taken.setdefault(source, set()).update(map(_renamed, names.values(), names))
    for source, each in taken.items():
        yield f'import {{ {", ".join(sorted(each))} }} from "{source}";'


def _renamed(there: str, here: str) -> str:
    return there if there == here else f"{there} as {here}"


def _function(name: str, module: Module) -> str:
    """A module as the value of a constant: an object with its exports."""
    lines = [f"export const {_identifier(name)} = (() => {{"]
    for source, names in module.imports.items():
        if source.startswith("#"):
            taken = {there: here for here, there in names.items()}
            lines.append(f"const {_members(taken)} = {_identifier(source.removeprefix('#'))};")
    return "\n".join([*lines, module.body, f"return {_members(module.exports)};", "})();"])


def _members(names: Mapping[str, str]) -> str:
    """The members of an object, as it is made or taken apart: {name of the member: name of the variable}."""
    return f"{{ {', '.join(name if name == own else f'{name}: {own}' for name, own in names.items())} }}"


def _identifier(name: str) -> str:
    """The name of a module in a pack."""
    return name.removesuffix(".js").replace("/", "_")
