"""Aliases: lines that have a name, with arguments."""

from __future__ import annotations

import pytest

from tests.aish.scripted import APOLLO, Ran, ScriptedHub, Shell, answer, problem, says

LINES = {
    "up": "tr a-z A-Z",
    "ask": 'apollo "say: $@"',
    "look": 'echo hi | apollo "look at $1 and $2"',
    "second": "echo $2; echo '$1'",
    "broken": "cat | | x",
}


@pytest.fixture(autouse=True)
def peers(hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo", "kind": "specialist"}]}))
    aliases = [{"name": name, "command": line, "description": None} for name, line in LINES.items()]
    hub.on("GET /api/v2/aliases", answer({"aliases": aliases}))
    for name in [*LINES, "nosuch"]:
        unknown = problem(404, "unknown_peer", "nobody", peer=name)
        hub.on(f"POST /api/v2/ai/{name}/stream", unknown)
        hub.on(f"GET /api/v2/ai/{name}", unknown)
    hub.on(APOLLO, says("ok"))


def test_an_alias_runs_its_line_with_arguments_and_piped_input(aish: Shell, hub: ScriptedHub) -> None:
    assert aish("up", given="abc\n") == Ran(0, "ABC\n", "")
    assert aish("ask", "one", "two  words", given="piped") == Ran(0, "ok\n", "")
    assert aish("second", "-x", "b c").out == "b c\n$1\n"
    assert hub.bodies(APOLLO) == [{"content": "say: one two  words\n\npiped", "execute": True}]


def test_an_alias_is_a_word_of_the_grammar(aish: Shell, hub: ScriptedHub) -> None:
    assert aish("-c", "echo abc | up | cat; second 1 2", given="").out == "ABC\n2\n$1\n"
    assert aish("-c", "ask hi && up", given="x").out == "ok\n"


def test_arguments_that_a_line_has_no_place_for_exit_with_2(aish: Shell) -> None:
    says = "aish: the alias up takes no arguments; write $@ where they belong\n"
    assert aish("up", "abc", given="") == Ran(2, "", says)
    assert aish("-c", "up abc") == Ran(2, "", says)


def test_an_alias_without_an_argument_that_its_line_needs_exits_with_2(aish: Shell, hub: ScriptedHub) -> None:
    hint = "aish alias show look prints its line\n"
    assert aish("look") == Ran(2, "", f"aish: the alias look needs an argument for $1\n{hint}")
    assert aish("-c", "look here") == Ran(2, "", f"aish: the alias look needs an argument for $2\n{hint}")
    assert not hub.bodies(APOLLO)


def test_an_invalid_line_of_an_alias_exits_with_2(aish: Shell) -> None:
    assert aish("broken", given="") == Ran(2, "", "aish: a stage is missing before | (column 7)\n")


def test_an_unknown_word_exits_with_3(aish: Shell) -> None:
    assert aish("nosuch", "x", given="") == Ran(3, "", "Error: Unknown CI or command: nosuch\n")
