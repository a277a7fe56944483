"""The table of attacks is complete, and its tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.hostile.attacks.table import EVERY, TABLE

from rhetor.routes import TABLE as ROUTES
from rhetor.transports.server.router import AppRoute, SocketRoute

TESTS = Path(__file__).parents[2]
# what the hub defends; docs/topics/security.md describes it for users
CONTROLS = (
    *("bind", "Host and Origin", "CORS", "auth", "browser", "lifetime", "authorization", "machines"),
    *("JWT", "rotation"),
    *("refresh", "rate", "TLS", "at rest", "redaction", "terminal escapes", "spawning", "paths"),
    *("outgoing URLs", "user patterns, YAML", "peers", "agents", "logs, audit", "backup", "console"),
)


def test_every_control_has_attacks() -> None:
    assert tuple(TABLE) == CONTROLS
    assert all(TABLE.values())


@pytest.mark.parametrize("control", TABLE)
def test_the_tests_of_the_table_exist(control: str) -> None:
    for attack in TABLE[control]:
        assert attack.tests, attack
        assert set(attack.apis) <= {*EVERY, "cli"}
        for test in attack.tests:
            file, _, name = test.partition("::")
            found = re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE)
            assert found, test


def test_the_table_knows_every_websocket_and_app() -> None:
    named = {row.api for row in ROUTES if isinstance(row, SocketRoute)}
    apps = {row.path for row in ROUTES if isinstance(row, AppRoute)}
    assert named <= set(EVERY), named
    assert apps == {"/mcp", "/socket.io/"}
