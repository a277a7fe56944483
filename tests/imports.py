"""The import rule of the house, as data and as one function over a module's source.

`errors` ← `domain`, `codec` ← `dialects`, `store`, `drivers`, `auth` ← `hub` ← `transports` ← `app` ← `cli`.
`host` is a process of its own: it imports `codec` and the standard library, and nobody imports it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

LAYERS = [
    {"errors"},
    {"domain", "codec"},
    {"dialects", "store", "drivers", "auth"},
    {"hub"},
    {"transports"},
    {"specialists", "coding_agents"},
    {"settings", "home", "logs", "hub_client"},
    {"tool_catalog"},
    {"wiring"},
    {"reload"},
    {"app"},
    {"cli"},
    {"__main__"},
]
STEP = {name: step for step, names in enumerate(LAYERS) for name in names}
# dialects turn the log's records into frames: they see what a record is, as the hub does
NARROW = {
    "hub": {
        "store": {"store.base"},
        "drivers": {"drivers.base"},
        "dialects": set(),
        "codec": set(),
        "auth": set(),
    },
    "transports": {"store": {"store.base"}, "drivers": set()},
    "dialects": {"store": {"store.base"}},
}
# what stands at the top is only for the composition root and the commands
ROOT_ONLY = {
    "specialists",
    "coding_agents",
    "settings",
    "home",
    "logs",
    "hub_client",
    "tool_catalog",
    "wiring",
    "reload",
}
# the client must start fast: it may import the grammar, for lines of the grammar, and one list
CLIENT_MAY = ("rhetor.domain.grammar", "rhetor.domain.provider_variables")
# small, isolated and alone: started as a file
HOST = ["rhetor", "host"]


@dataclass(frozen=True)
class Violation:
    module: str
    line: int
    imported: str


def violations(module: str, source: str, *, is_package: bool = False) -> list[Violation]:
    """Imports of a module that the rule forbids, those inside functions too."""
    found = []
    for line, imported in _imports(module, ast.parse(source), is_package):
        if not _allowed(module, imported):
            found.append(Violation(module, line, imported))
    return found


def _imports(module: str, tree: ast.AST, is_package: bool) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node, is_package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _absolute(module: str, node: ast.ImportFrom, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - 1 if is_package else node.level
    base = parts[: len(parts) - up]
    return ".".join([*base, *([node.module] if node.module else [])])


def _allowed(module: str, imported: str) -> bool:
    ours, theirs = module.split("."), imported.split(".")
    if ours[:2] == HOST:
        return theirs[:2] in (HOST, ["rhetor", "codec"]) or theirs[0] in sys.stdlib_module_names
    if theirs[:2] == HOST:
        return False
    if theirs[0] not in ("aish", "rhetor"):
        return True
    if ours[0] == "aish":
        return theirs[0] == "aish" or imported.startswith(CLIENT_MAY)
    if theirs[0] == "aish":
        return False
    if len(ours) < 2 or len(theirs) < 2:
        return True
    mine, other = ours[1], theirs[1]
    if mine == other:
        return True
    if other in ROOT_ONLY and mine in STEP and STEP[mine] < STEP["specialists"]:
        return False
    narrow = NARROW.get(mine, {}).get(other)
    if narrow is not None:
        return ".".join(theirs[1:3]) in narrow
    return other in STEP and mine in STEP and STEP[other] < STEP[mine]
