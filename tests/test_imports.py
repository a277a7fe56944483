"""Who may import whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imports import Violation, violations

SOURCE = Path(__file__).parent.parent / "src"


def test_every_module_keeps_the_import_rule() -> None:
    found: list[Violation] = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        found += violations(module, path.read_text(), is_package=is_package)
    assert found == []


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
        ("rhetor.app", "import rhetor.host.supervisor", "rhetor.host.supervisor"),
        ("aish.language.shell", "from rhetor import host", "rhetor.host"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, imported: str) -> None:
    assert [v.imported for v in violations(module, source)] == [imported]


def test_what_the_rule_allows_is_not_found() -> None:
    fine = "from rhetor.domain.plan import Step\nfrom rhetor.store.base import Store\nimport asyncio\n"
    assert violations("rhetor.hub.sessions.send", fine) == []
    assert violations("aish.language.shell", "from rhetor.domain.grammar import parse") == []
    own = "import os\nfrom rhetor.codec import host_frames\nfrom . import system\n"
    assert violations("rhetor.host.supervisor", own) == []
