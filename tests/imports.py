"""The import rule of the source tree, as data and as functions over the source of its modules.

`errors`, `background` ← `domain`, `codec`, `sealing` ← `dialects`, `store`, `drivers`, `auth` ← `hub` ←
`transports` ← `app` ← `serving` ← `maintenance` ← `cli`.
`host` is a process of its own: it imports `codec` and the standard library, and no module imports it. Inside
`hub`, `transports`, `drivers` and `aish`, the packages form a stack too. No modules import each other in a
circle. Imports inside functions and imports for types count everywhere.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter

LAYERS = [
    {"errors", "background"},
    {"domain", "codec", "sealing"},
    {"dialects", "store", "drivers", "auth"},
    {"hub"},
    {"transports"},
    {"specialists", "coding_agents"},
    {"settings", "home", "logs", "cores", "hub_client", "certificates"},
    {"mcp_stdio", "token_cli", "machine_cli", "config_cli", "certificate_renewal"},
    {"tool_catalog", "program_drivers"},
    {"machine"},
    {"wiring", "sealed_files"},
    {"shared_keys"},
    {"data_keys"},
    {"reload"},
    {"configuration", "provider_keys"},
    {"local_models"},
    {"nodes"},
    {"listening", "routes", "storage"},
    {"app"},
    {"serving"},
    {"maintenance"},
    {"cli"},
    {"__main__"},
]
STEP = {name: step for step, names in enumerate(LAYERS) for name in names}
# dialects turn the log's records into frames: of the store, they may import only the record
RECORD = "rhetor.store.base.Record"
NARROW = {
    "hub": {
        "store": {"store.base", "store.files.base"},
        "drivers": {"drivers.base"},
        "dialects": set(),
        "codec": set(),
        "auth": set(),
    },
    "transports": {"store": {"store.base"}, "drivers": set()},
}
# the top level is only for the composition root and the commands
ROOT_ONLY = {
    "specialists",
    "coding_agents",
    "settings",
    "home",
    "logs",
    "cores",
    "hub_client",
    "certificates",
    "certificate_renewal",
    "mcp_stdio",
    "token_cli",
    "machine_cli",
    "machine",
    "program_drivers",
    "config_cli",
    "tool_catalog",
    "wiring",
    "sealed_files",
    "shared_keys",
    "data_keys",
    "reload",
    "configuration",
    "provider_keys",
    "local_models",
    "nodes",
    "listening",
    "routes",
    "storage",
}
# the client must start fast: it may import the grammar, for lines of the grammar, one list and sentences
CLIENT_MAY = (
    "rhetor.domain.grammar",
    "rhetor.domain.nearest",
    "rhetor.domain.prefaces",
    "rhetor.domain.progress",
    "rhetor.domain.provider_variables",
    "rhetor.domain.tool_subject",
)
# inside these packages, nothing imports upwards or sideways within one line
STACKS = {
    "aish": [
        {"catalogue"},
        {"exits", "render"},
        {"questions", "headings"},
        {"output", "options"},
        {"client"},
        {"screen"},
        {"live"},
        {"turns"},
        {"progress"},
        {"terminal"},
        {"commands"},
        {"language"},
        {"dispatch"},
        {"flags"},
        {"cli"},
        {"__main__"},
    ],
    "rhetor.hub": [
        {"core"},
        {"catalog"},
        {"fanout"},
        {"peers"},
        {"active"},
        {"state"},
        {"programs"},
        {"turns"},
        {"sessions"},
        {"machines"},
        {"forwarding"},
        {"plans"},
        {
            "audited",
            "boards",
            "budgets",
            "hub_peer",
            "identity",
            "notifications",
            "recovery",
            "retention",
            "tool_servers",
        },
        {"schedules"},
        {"use_cases"},
        {"nodes"},
        {"hub"},
        {"opening"},
    ],
    "rhetor.transports": [
        {"server"},
        {"views"},
        {"websocket", "socketio"},
        {"rest"},
        {"mcp", "compatible", "console"},
    ],
    "rhetor.drivers": [
        {"base"},
        {"programs"},
        {"agents"},
        {"models"},
        {"local"},
        {"model_tools"},
        {"notifications"},
    ],
}
# small and isolated: started as a file
HOST = ["rhetor", "host"]


@dataclass(frozen=True)
class Violation:
    module: str
    line: int
    imported: str


def violations(module: str, source: str, *, is_package: bool = False) -> list[Violation]:
    """Imports of a module that the rule forbids, those inside functions too."""
    found = []
    for line, imported in _imports(module, source, is_package):
        if not _allowed(module, imported):
            found.append(Violation(module, line, imported))
    return found


@cache
def _imports(module: str, source: str, is_package: bool) -> tuple[tuple[int, str], ...]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node, is_package)
            found += ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
    return tuple(found)


def _absolute(module: str, node: ast.ImportFrom, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - 1 if is_package else node.level
    base = parts[: len(parts) - up]
    return ".".join([*base, *([node.module] if node.module else [])])


def circles(sources: Mapping[str, str], packages: Set[str] = frozenset()) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others.

    `sources`: the source of each module by its dotted name; `packages`: those that are an `__init__`.
    """
    graph = {
        module: {
            name
            for _, imported in _imports(module, source, module in packages)
            for name in (imported, imported.rpartition(".")[0])
            if name in sources and name != module
        }
        for module, source in sources.items()
    }
    for module, imported in graph.items():  # `from package import module` needs the module, not the package
        imported -= {name for name in imported if any(other.startswith(f"{name}.") for other in imported)}
        imported.discard(module)
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = list(dict.fromkeys(error.args[1]))
            found.append(sorted(circle))
            for module in circle:
                graph[module] = graph[module] - set(circle)
        else:
            return found


def _allowed(module: str, imported: str) -> bool:
    ours, theirs = module.split("."), imported.split(".")
    if ours[:2] == HOST:
        return theirs[:2] in (HOST, ["rhetor", "codec"]) or theirs[0] in sys.stdlib_module_names
    if theirs[:2] == HOST:
        return False
    if theirs[0] not in ("aish", "rhetor"):
        return True
    if ours[0] == "aish":
        inside = theirs[0] == "aish" and _goes_down("aish", ours, theirs)
        return inside or imported.startswith(CLIENT_MAY)
    if theirs[0] == "aish":
        return False
    if len(ours) < 2 or len(theirs) < 2:
        return True
    mine, other = ours[1], theirs[1]
    if mine == other:
        return _goes_down(".".join(ours[:2]), ours, theirs)
    if other in ROOT_ONLY and mine in STEP and STEP[mine] < STEP["specialists"]:
        return False
    if (mine, other) == ("dialects", "store"):
        return imported == RECORD
    narrow = NARROW.get(mine, {}).get(other)
    if narrow is not None:
        return f"{'.'.join(theirs[1:])}.".startswith(tuple(f"{name}." for name in narrow))
    return other in STEP and mine in STEP and STEP[other] < STEP[mine]


def _goes_down(package: str, ours: list[str], theirs: list[str]) -> bool:
    """Whether an import within a package stays in its part or goes to a lower one of the stack."""
    stack, depth = STACKS.get(package), package.count(".") + 1
    if stack is None or len(ours) <= depth or len(theirs) <= depth or ours[depth] == theirs[depth]:
        return True
    steps = {name: step for step, names in enumerate(stack) for name in names}
    mine, other = steps.get(ours[depth]), steps.get(theirs[depth])
    return other is None or (mine is not None and other < mine)
