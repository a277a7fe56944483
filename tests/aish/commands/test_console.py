"""`aish console`: the browser that it opens, and the link that it prints instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aish.scripted import Ran, ScriptedHub, Shell, answer, problem

CODE = "POST /api/auth/code"
URL = "http://c0ffee.localhost:8300/login?code=7QKM4XPD9TRC0VWE"
LINK = {"url": URL, "code": "7QKM-4XPD-9TRC-0VWE", "expires_in": 60.0}
NO_BROWSER = {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "SSH_CONNECTION": "", "SSH_TTY": ""}
SSH = {**NO_BROWSER, "SSH_CONNECTION": "198.51.100.7 50000 192.0.2.1 22", "USER": "me"}
ONCE = "The link works once, within 60 s.\n"


def browser(folder: Path, *, status: int = 0) -> tuple[dict[str, str], Path]:
    """Return the environment of a browser, and the file to which it writes the URL that it opens."""
    opened, program = folder / "opened", folder / "browser"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\nexit {status}\n')
    program.chmod(0o755)
    return {**NO_BROWSER, "BROWSER": str(program)}, opened


def test_the_browser_opens_the_link(aish: Shell, hub: ScriptedHub, tmp_path: Path) -> None:
    hub.on(CODE, answer(LINK))
    environment, opened = browser(tmp_path)
    assert aish("console", env=environment) == Ran(0, "Opened the console in the browser\n", "")
    assert opened.read_text() == URL


def test_a_browser_that_fails_is_reported_with_the_link(
    aish: Shell, hub: ScriptedHub, tmp_path: Path
) -> None:
    hub.on(CODE, answer(LINK))
    environment, _ = browser(tmp_path, status=1)
    ran = aish("console", env=environment)
    assert ran == Ran(0, f"{URL}\n", f"The browser could not be started\n{ONCE}")


def test_with_print_or_without_a_display_only_the_link_is_printed(
    aish: Shell, hub: ScriptedHub, tmp_path: Path
) -> None:
    hub.on(CODE, answer(LINK))
    environment, opened = browser(tmp_path)
    assert aish("console", "--print", env=environment) == Ran(0, f"{URL}\n", ONCE)
    assert aish("console", env=NO_BROWSER) == Ran(0, f"{URL}\n", ONCE)
    assert not opened.exists()


def test_over_ssh_the_link_is_printed_with_the_command_that_forwards_the_port(
    aish: Shell, hub: ScriptedHub
) -> None:
    hub.on(CODE, answer(LINK))
    forward = "To open it on another computer, run there first: ssh -L 8300:127.0.0.1:8300 me@192.0.2.1\n"
    display = {**SSH, "DISPLAY": ":0"}
    assert aish("console", env=display) == Ran(0, f"{URL}\n", ONCE + forward)
    hub.replace(CODE, answer({**LINK, "url": URL.replace("c0ffee.localhost", "box.local")}))
    assert aish("console", env=SSH).err == ONCE


def test_the_hub_can_refuse_a_link(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(CODE, problem(403, "forbidden", "only a person may do this"))
    assert aish("console", env=NO_BROWSER) == Ran(4, "", "aish: only a person may do this\n")


@pytest.mark.parametrize("words", [("now",), ("--print", "--print"), ("--open",)])
def test_other_words_are_rejected(aish: Shell, hub: ScriptedHub, words: tuple[str, ...]) -> None:
    ran = aish("console", *words)
    assert (ran.code, ran.out, ran.err[:38]) == (2, "", "aish: usage: aish console [--print] | ")
    assert not hub.requests


PHONE = {
    **LINK,
    "url": "https://192.168.1.20:8300/login?code=7QKM4XPD9TRC0VWE",
    "qr": ["10", "01"],
    "ca": {"url": "https://192.168.1.20:8300/ca.crt", "sha256": "31:19"},
}


def test_for_a_phone_the_code_is_shown_with_what_a_new_one_needs(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(CODE, answer(PHONE), answer({**PHONE, "ca": None}))
    ran = aish("console", "--phone")
    *picture, sentence = ran.out.splitlines()
    assert picture[2:3] == ["████▄▀████"]
    assert sentence == "Scan the QR code, or open https://192.168.1.20:8300 and type 7QKM-4XPD-9TRC-0VWE"
    assert ran.err.splitlines() == [
        "The code works once, within 60 s.",
        "On a new phone, first install the hub's CA: https://192.168.1.20:8300/ca.crt",
        "SHA-256 31:19",
    ]
    for words in (("--at", "box.local"), ("--at=box.local",)):
        assert aish("console", "--phone", *words).err == "The code works once, within 60 s.\n"
    assert hub.bodies(CODE) == [{"for": "network"}, *[{"for": "network", "host": "box.local"}] * 2]


def test_a_hub_that_no_phone_can_reach_is_explained(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(CODE, problem(409, "not_on_network", "no other device can open it", hint="set hub.host"))
    ran = aish("console", "--phone")
    assert ran == Ran(1, "", "aish: no other device can open it\nset hub.host\n")


@pytest.mark.parametrize(
    "words",
    [("--phone", "x"), ("--phone", "--at"), ("--phone", "--at="), ("--at", "x"), ("--phone", "--print")],
)
def test_other_words_about_a_phone_are_rejected(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...]
) -> None:
    assert aish("console", *words).code == 2
    assert not hub.requests
