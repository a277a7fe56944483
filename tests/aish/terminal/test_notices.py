"""Notices that arrive while a person does something else: held, withdrawn, bounded, and filtered."""

from __future__ import annotations

import threading

import pytest

from aish.terminal.notices import MAX_HELD, Notices
from aish.turns.permissions import summary


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_notices_are_returned_once_in_order_as_complete_lines() -> None:
    notices = Notices()
    notices.add("one")
    notices.add("two\n  and more\n")
    assert (notices.take(), notices.take()) == ("one\ntwo\n  and more\n", "")


def test_show_waits_until_the_notice_was_taken() -> None:
    notices, shown = Notices(), threading.Event()

    def tell() -> None:
        notices.show("told")
        shown.set()

    held = threading.Semaphore(0)
    notices.set_wakeup(held.release)
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    assert held.acquire(timeout=60)
    assert not shown.is_set()
    assert notices.take() == "told\n"
    assert shown.wait(20)
    teller.join()


def test_several_notices_ring_the_bell_once() -> None:
    notices = Notices()
    for number in range(3):
        notices.add(f"{number}", rings=True)
    assert notices.take() == "\x070\n1\n2\n"
    notices.add("quiet")
    assert notices.take() == "quiet\n"


def test_a_withdrawn_notice_is_not_shown_and_does_not_ring() -> None:
    notices = Notices()
    notices.add("asked", key="r", rings=True)
    assert notices.withdraw("r")
    assert (notices.take(), notices.withdraw("r")) == ("", False)


def test_the_prompt_is_woken_for_new_and_for_earlier_notices() -> None:
    notices, woken = Notices(), []
    notices.add("before")
    notices.set_wakeup(lambda: woken.append("woken"))
    notices.add("now")
    notices.set_wakeup(None)
    notices.add("later")
    assert (len(woken), notices.take()) == (2, "before\nnow\nlater\n")


def test_above_the_limit_the_oldest_notices_are_dropped_and_counted() -> None:
    notices = Notices()
    for number in range(MAX_HELD + 3):
        notices.add(f"{number}")
    first, second, *_, last = notices.take().splitlines()
    assert (first, second, last) == ("… 3 earlier lines were dropped", "3", str(MAX_HELD + 2))
    notices.add("again")
    assert notices.take() == "again\n"


def test_only_colours_pass_in_a_notice_and_they_end_with_it() -> None:
    notices = Notices()
    notices.add("\x1b[31mred\x1b]0;title\x07\x1b[2J\x07")
    assert notices.take() == "\x1b[31mred\x1b[0m\n"


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ({"command": "ls -l", "description": "lists"}, "Bash(command: ls -l, description: lists)"),
        ({"file_path": "/a b"}, "Bash(file_path: /a b)"),
        ({"subtype": "can_use_tool", "description": "lists", "input": {"command": "ls -l"}}, "Bash(ls -l)"),
        ({"toolCall": {"rawInput": {"path": "/a"}}}, "Bash(path: /a)"),
        ({"input": {"n": 1}}, "Bash(n: 1)"),
        ({"input": {"description": "lists files"}}, "Bash(description: lists files)"),
        (
            {"call_id": "c", "arguments": {"thing": {"rm": "-rf"}}, "runs_at": "hub"},
            'Bash(thing: {"rm":"-rf"})',
        ),
        ({"n": 1}, "Bash(n: 1)"),
        ("plain\n text", "Bash(plain\\n text)"),
        ({}, "Bash"),
        ("", "Bash"),
        (None, "Bash"),
        ({"command": "a" * 96 + "b" * 100 + "c" * 52}, f"Bash({'a' * 96}…[+100]…{'c' * 52})"),
        ({"command": "ls\u200b \x1b]0;title\x07"}, r"Bash(ls\u200b \x1b]0;title\x07)"),
        ({"command": "ls, cwd: /safe", "cwd": "/"}, 'Bash(command: "ls, cwd: /safe", cwd: /)'),
        ({"command: ls) — ok": "rm"}, 'Bash("command: ls) — ok": rm)'),
    ],
)
def test_a_permission_request_has_a_short_summary(detail: object, shown: str) -> None:
    assert summary("Bash", detail) == shown
