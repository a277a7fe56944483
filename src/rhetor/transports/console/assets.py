"""The files of the web console: each has a name with its digest, and is served compressed.

Nothing is read before the first request. A file keeps its name as long as its content stays the same, so
browsers may cache it for ever.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

FOLDER = Path(__file__).parent.parent.parent / "console"
PREFIX = "/assets/"
# by the end of the name; other files of the folder are not served
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# the names under which the modules import the libraries
LIBRARIES = {
    "preact": "vendor/preact.js",
    "preact/hooks": "vendor/preact-hooks.js",
    "htm": "vendor/htm.js",
    "htm/preact": "vendor/htm-preact.js",
    "@preact/signals-core": "vendor/signals-core.js",
    "@preact/signals": "vendor/signals.js",
    "@xterm/xterm": "vendor/xterm.js",
    "@xterm/addon-fit": "vendor/xterm-fit.js",
    "uplot": "vendor/uplot.js",
    "marked": "vendor/marked.js",
    "dompurify": "vendor/dompurify.js",
}
# the specifier of a static import or export, not of `import(…)`
_IMPORTED = re.compile(r"""(?:^|[;}\s])(?:import|export)\b[^"'();]*?["']([^"']+)["']""")


class Asset(Struct, frozen=True):
    """A file. `name`: relative to the folder, with the digest of its content before its suffix."""

    path: Path
    name: str
    media_type: str

    @property
    def url(self) -> str:
        return PREFIX + self.name


class Assets:
    """All files that are served, by their names in the folder and by their names with digests."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.files = dict(_files(folder))
        self._served = {asset.name: asset for asset in self.files.values()}

    def find(self, name: str) -> Asset | None:
        """Return the file with this name, which has a digest; None if there is none."""
        return self._served.get(name)

    @property
    def version(self) -> str:
        """A digest of all files. A page and a service worker with the same one belong together."""
        return hashlib.sha256("".join(self._served).encode()).hexdigest()[:12]

    @property
    def imports(self) -> dict[str, str]:
        """The import map of the page: the URL of each library, and of each module and style sheet, which are
        imported as `#folder/file.js`."""
        own = {f"#{name}": asset.url for name, asset in self.files.items() if _is_imported(name)}
        return {name: self.files[file].url for name, file in LIBRARIES.items()} | own

    def needed_by(self, *names: str) -> list[Asset]:
        """Return the modules with these names and all that they import, directly and indirectly."""
        found: dict[str, Asset] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name not in found and name in self.files:
                found[name] = self.files[name]
                waiting += _imported(found[name].path)
        return list(found.values())


@cache
def compressed(asset: Asset) -> bytes:
    """Return the content of a file in gzip, which takes a moment the first time. Modules and style sheets
    are sent without indentation and comment lines; the lines keep their numbers."""
    content = asset.path.read_bytes()
    if asset.path.suffix in (".js", ".css"):
        content = b"\n".join(map(_without_margin, content.split(b"\n")))
    return gzip.compress(content, 9, mtime=0)


def _without_margin(line: bytes) -> bytes:
    line = line.strip()
    return b"" if line.startswith(b"//") else line


@cache
def assets() -> Assets:
    """Return the files of the console. They are read once."""
    return Assets()


def _files(folder: Path) -> Iterator[tuple[str, Asset]]:
    for path in sorted(folder.rglob("*")):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is None or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        yield name, Asset(path, f"{name.removesuffix(path.suffix)}.{digest}{path.suffix}", media_type)


def _imported(path: Path) -> Iterable[str]:
    names: Mapping[str, str] = LIBRARIES
    found = _IMPORTED.findall(path.read_text()) if path.suffix == ".js" else []
    return [names.get(name, name.removeprefix("#")) for name in found]


def _is_imported(name: str) -> bool:
    return name.endswith(".css") or (name.endswith(".js") and name not in LIBRARIES.values())
