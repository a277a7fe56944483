"""`aish console logins` and `aish console logout`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aish.commands.console_logins import browser
from tests.aish.scripted import Ran, ScriptedHub, Shell, answer

LOGINS = "GET /api/v2/logins"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
Iphone = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/26.0 Mobile/15E148 Safari/604.1"
)


def login(id: str, **fields: Any) -> dict[str, Any]:
    ago = (datetime.now(UTC) - timedelta(seconds=130)).isoformat()
    return {
        "id": id,
        "subject": "me",
        "scopes": ["read"],
        "credential": "cookie",
        "host": "c0ffee.localhost",
        "address": "127.0.0.1:4242",
        "user_agent": FIREFOX,
        "logged_in_at": ago,
        "expires_at": "2026-12-01T00:11:30.000Z",
        "used_at": None,
        "connections": 0,
        "current": False,
        **fields,
    }


@pytest.fixture
def phone() -> dict[str, Any]:
    return login("l_8b2", user_agent=Iphone, address="[fd00::7]:1")


def test_logins_are_listed_with_the_browser_in_words(
    aish: Shell, hub: ScriptedHub, phone: dict[str, Any]
) -> None:
    used = login("l_8b1")
    hub.on(LOGINS, answer({"logins": [{**used, "used_at": used["logged_in_at"]}, phone]}))
    ran = aish("console", "logins")
    assert (ran.code, ran.err) == (0, "")
    assert [re.split(" {2,}", line) for line in ran.out.splitlines()[1:]] == [
        ["l_8b1", "me", "Firefox, Linux", "127.0.0.1", "2 min ago", "2 min ago", "2026-12-01 00:11"],
        ["l_8b2", "me", "Safari, iPhone", "[fd00::7]", "2 min ago", "-", "2026-12-01 00:11"],
    ]
    assert json.loads(aish("console", "logins", "json").out)[1] == phone
    hub.replace(LOGINS, answer({"logins": []}))
    assert aish("console", "logins") == Ran(0, "No browser is logged in\n", "")


def test_a_login_is_ended_by_its_id_which_may_be_shortened(
    aish: Shell, hub: ScriptedHub, phone: dict[str, Any]
) -> None:
    hub.on(LOGINS, answer({"logins": [login("l_8b1"), phone]}))
    hub.on("DELETE /api/v2/logins/l_8b2", answer({"id": "l_8b2", "status": "ended"}))
    assert aish("console", "logout", "l_8b2") == Ran(0, "Ended the login l_8b2\n", "")
    assert aish("console", "logout", "l_8").code == 2
    unknown = aish("console", "logout", "l_9b2")
    assert (unknown.code, unknown.err.splitlines()[0]) == (3, "aish: there is no login 'l_9b2'")
    assert "Did you mean l_8b2?" in unknown.err


@pytest.mark.parametrize(("ended", "words"), [(1, "1 login"), (3, "3 logins"), (0, "0 logins")])
def test_all_logins_are_ended(aish: Shell, hub: ScriptedHub, ended: int, words: str) -> None:
    hub.on("DELETE /api/v2/logins", answer({"ended": ended}))
    assert aish("console", "logout", "--all") == Ran(0, f"Ended {words}\n", "")


@pytest.mark.parametrize("words", [("logout",), ("logout", "a", "b"), ("logout", "-x"), ("logins", "x")])
def test_wrong_words_are_rejected(aish: Shell, hub: ScriptedHub, words: tuple[str, ...]) -> None:
    ran = aish("console", *words)
    assert (ran.code, ran.err.startswith(f"aish: usage: aish console {words[0]} ")) == (2, True)
    assert not hub.requests


@pytest.mark.parametrize(
    ("says", "shown"),
    [
        (FIREFOX, "Firefox, Linux"),
        (Iphone, "Safari, iPhone"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/143.0 Safari/537.36 Edg/143.0",
            "Edge, Windows",
        ),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/143.0 Mobile", "Chrome, Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/26.0 Safari/605.1.15", "Safari, macOS"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", "-"),
    ],
)
def test_browsers_are_named(says: str, shown: str) -> None:
    assert browser(says) == shown
