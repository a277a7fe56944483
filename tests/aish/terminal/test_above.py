"""What arrives for a person who does something else: held, withdrawn, bounded, and safe for a terminal."""

from __future__ import annotations

import threading

import pytest

from aish.terminal.above import MOST_HELD, Above
from aish.turns.permissions import summary


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_what_arrives_is_taken_once_in_order_as_whole_lines() -> None:
    above = Above()
    above.hold("one")
    above.hold("two\n  and more\n")
    assert (above.take(), above.take()) == ("one\ntwo\n  and more\n", "")


def test_who_wants_to_know_waits_until_it_was_shown() -> None:
    above, shown = Above(), threading.Event()

    def tell() -> None:
        above.show("told")
        shown.set()

    held = threading.Semaphore(0)
    above.await_at(held.release)
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    assert held.acquire(timeout=20)
    assert not shown.is_set()
    assert above.take() == "told\n"
    assert shown.wait(20)
    teller.join()


def test_several_that_ring_ring_once() -> None:
    above = Above()
    for number in range(3):
        above.hold(f"{number}", rings=True)
    assert above.take() == "\x070\n1\n2\n"
    above.hold("quiet")
    assert above.take() == "quiet\n"


def test_what_is_withdrawn_in_time_is_not_shown_and_does_not_ring() -> None:
    above = Above()
    above.hold("asked", key="r", rings=True)
    assert above.withdraw("r")
    assert (above.take(), above.withdraw("r")) == ("", False)


def test_who_is_at_a_prompt_is_woken_for_each_and_for_what_was_there_before() -> None:
    above, woken = Above(), []
    above.hold("before")
    above.await_at(lambda: woken.append("woken"))
    above.hold("now")
    above.await_at(None)
    above.hold("later")
    assert (len(woken), above.take()) == (2, "before\nnow\nlater\n")


def test_of_more_than_are_held_the_oldest_are_dropped_and_that_is_said() -> None:
    above = Above()
    for number in range(MOST_HELD + 3):
        above.hold(f"{number}")
    first, second, *_, last = above.take().splitlines()
    assert (first, second, last) == ("… 3 earlier lines were dropped", "3", str(MOST_HELD + 2))
    above.hold("again")
    assert above.take() == "again\n"


def test_of_escape_sequences_only_colours_are_passed_on_and_they_end_with_the_line() -> None:
    above = Above()
    above.hold("\x1b[31mred\x1b]0;title\x07\x1b[2J\x07")
    assert above.take() == "\x1b[31mred\x1b[0m\n"


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ({"command": "ls -l", "description": "lists"}, "Bash(ls -l)"),
        ({"file_path": "/a b"}, "Bash(/a b)"),
        ({"subtype": "can_use_tool", "description": "lists", "input": {"command": "ls -l"}}, "Bash(ls -l)"),
        ({"toolCall": {"rawInput": {"path": "/a"}}}, "Bash(/a)"),
        ({"input": {"n": 1}}, 'Bash({"n":1})'),
        (
            {"call_id": "c", "arguments": {"thing": {"rm": "-rf"}}, "runs_at": "hub"},
            'Bash({"thing":{"rm":"-rf"}})',
        ),
        ({"n": 1}, 'Bash({"n":1})'),
        ("plain\n text", "Bash(plain text)"),
        ({}, "Bash"),
        ("", "Bash"),
        (None, "Bash"),
        ("x" * 200, f"Bash({'x' * 160}…)"),
        ("\x1b]0;title\x07ls", "Bash(ls)"),
    ],
)
def test_what_is_asked_for_is_told_in_a_few_words(detail: object, shown: str) -> None:
    assert summary("Bash", detail) == shown
