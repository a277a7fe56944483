"""Which module may import which, and that no modules import each other in a circle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imports import Violation, circles, violations

SOURCE = Path(__file__).parent.parent / "src"


def _modules() -> dict[str, tuple[str, bool]]:
    """The source of each module, and whether it is a package's `__init__`, by dotted name."""
    found: dict[str, tuple[str, bool]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found[".".join(parts[:-1] if is_package else parts)] = path.read_text(), is_package
    return found


def test_every_module_keeps_the_import_rule() -> None:
    found: list[Violation] = []
    for module, (source, is_package) in _modules().items():
        found += violations(module, source, is_package=is_package)
    assert found == []


def test_no_modules_import_each_other_in_a_cycle() -> None:
    modules = _modules()
    packages = {name for name, (_, is_package) in modules.items() if is_package}
    assert circles({name: source for name, (source, _) in modules.items()}, packages) == []


@pytest.mark.parametrize(
    "back",
    [
        "from rhetor.hub.a import x",
        "from . import a",
        "def f():\n    import rhetor.hub.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import X",
    ],
)
def test_a_planted_cycle_is_found(back: str) -> None:
    sources = {
        "rhetor.hub": "",
        "rhetor.hub.a": "from rhetor.hub import b",
        "rhetor.hub.b": "from .c import y",
        "rhetor.hub.c": back,
        "rhetor.hub.d": "from rhetor.hub import a, b, c",
    }
    assert circles(sources, {"rhetor.hub"}) == [["rhetor.hub.a", "rhetor.hub.b", "rhetor.hub.c"]]


@pytest.mark.parametrize(
    ("module", "source", "imported"),
    [
        ("rhetor.domain.turn", "from rhetor.store.base import Store", "rhetor.store.base.Store"),
        ("rhetor.domain.turn", "def f():\n    from rhetor.hub import hub\n", "rhetor.hub.hub"),
        ("rhetor.domain.turn", "from ..codec import sse", "rhetor.codec.sse"),
        (
            "rhetor.hub.sessions.send",
            "def f():\n    import rhetor.store.sqlite\n",
            "rhetor.store.sqlite",
        ),
        (
            "rhetor.hub.sessions.send",
            "from rhetor.transports.server.node import Node",
            "rhetor.transports.server.node.Node",
        ),
        (
            "rhetor.transports.rest",
            "from rhetor.drivers.models.driver import ChatDriver",
            "rhetor.drivers.models.driver.ChatDriver",
        ),
        ("rhetor.dialects.raw", "from rhetor.store.base import Head", "rhetor.store.base.Head"),
        ("rhetor.store.sqlite.store", "from rhetor.drivers import base", "rhetor.drivers.base"),
        ("rhetor.auth.tokens", "async def f():\n    from rhetor import settings\n", "rhetor.settings"),
        ("aish.language.shell", "from rhetor.domain.event import Event", "rhetor.domain.event.Event"),
        ("rhetor.cli", "from aish import cli", "aish.cli"),
        ("rhetor.host.supervisor", "from rhetor.errors import TooLarge", "rhetor.errors.TooLarge"),
        ("rhetor.host.supervisor", "from rhetor import settings", "rhetor.settings"),
        ("rhetor.host.requests", "import msgspec", "msgspec"),
        (
            "rhetor.drivers.programs.host.hosts",
            "from rhetor.host.spool import Spool",
            "rhetor.host.spool.Spool",
        ),
        (
            "rhetor.hub.catalog.turns",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rhetor.hub.state import State\n",
            "rhetor.hub.state.State",
        ),
        (
            "rhetor.hub.turns.runner",
            "from rhetor.hub.sessions.send import send",
            "rhetor.hub.sessions.send.send",
        ),
        (
            "rhetor.hub.sessions.send",
            "def f():\n    from rhetor.hub.plans import plans",
            "rhetor.hub.plans.plans",
        ),
        ("aish.turns.message", "from aish.terminal import editor", "aish.terminal.editor"),
        ("aish.commands.tools", "def f():\n    from aish.language import shell", "aish.language.shell"),
        ("rhetor.hub.hub_peer", "from .recovery import recover", "rhetor.hub.recovery.recover"),
        ("rhetor.transports.server.gate", "from ..rest import peers", "rhetor.transports.rest.peers"),
        (
            "rhetor.drivers.programs.driver",
            "from rhetor.drivers.agents import driver",
            "rhetor.drivers.agents.driver",
        ),
        ("rhetor.app", "import rhetor.host.supervisor", "rhetor.host.supervisor"),
        ("aish.language.shell", "from rhetor import host", "rhetor.host"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, imported: str) -> None:
    assert [v.imported for v in violations(module, source)] == [imported]


def test_allowed_imports_are_not_reported() -> None:
    fine = "from rhetor.domain.plan import Step\nfrom rhetor.store.base import Store\nimport asyncio\n"
    assert violations("rhetor.hub.sessions.send", fine) == []
    assert violations("aish.language.shell", "from rhetor.domain.grammar import parse") == []
    own = "import os\nfrom rhetor.codec import host_frames\nfrom . import system\n"
    assert violations("rhetor.host.supervisor", own) == []
