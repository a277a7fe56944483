"""Shells inside shells: their commands end at marks, and leaving them works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.needs import needs
from tests.scale import FULL
from tests.served import PROGRAM_ENVIRONMENT, Served, with_programs

pytestmark = pytest.mark.anyio

OUTER = (("bash",), ("bash", "--norc"), ("dash",), ("sh",), ("zsh", "-i"), ("zsh", "-f"))
INNER = ("bash", "bash --norc", "exec bash", "env bash", "dash", "exec sh", "zsh")
NAMES = {"bash --norc": "bash", "exec bash": "bash", "env bash": "bash", "exec sh": "sh"}


async def answer(home: Served, text: str) -> str:
    """Return the answer of the shell; its end must be certain."""
    said = (await home.say("p", text)).json
    assert said["finish_reason"] == "stop", (text, said)
    response: str = said["response"]
    return response


async def evidence(home: Served, text: str) -> str:
    """Return the evidence that ended the turn."""
    from rhetor.drivers.programs.terminal.turn import TerminalTurn

    found: list[TerminalTurn] = []
    between = home.hub.state.instances["p"].running.between  # type: ignore[attr-defined]
    turn_ended = between.turn_ended

    def noted(turn: TerminalTurn, *rest: object) -> None:
        found.append(turn)
        turn_ended(turn, *rest)

    between.turn_ended = noted
    try:
        await answer(home, text)
    finally:
        between.turn_ended = turn_ended
    ended = found[-1].ended
    assert ended is not None
    return f"{ended.kind} {ended.exit_code}"


@pytest.mark.long
@pytest.mark.parametrize("outer", OUTER if FULL else OUTER[:3], ids=" ".join)
async def test_a_shell_inside_a_shell_marks_its_commands(outer: tuple[str, ...], tmp_path: Path) -> None:
    needs(outer[0])
    (tmp_path / ".bashrc").write_text("PS1='in> '\n")
    (tmp_path / ".zshrc").write_text("PS1='in> '\n")
    env = {**PROGRAM_ENVIRONMENT, "HOME": str(tmp_path)}
    async with with_programs(seconds=240) as home:
        await home.announce("p", *outer, kind="terminal", env=env)
        for inner in INNER if FULL else ("bash", "exec sh", "zsh"):
            name = NAMES.get(inner, inner)
            if not shutil.which(name):
                continue
            await answer(home, f"( {inner} )" if inner.startswith("exec") else inner)
            if not (name == "zsh" and outer == ("zsh", "-f")):
                assert await evidence(home, "(exit 3)") == "mark 3", inner
            assert await answer(home, "echo $?; sleep 0.5; echo $((6*7))") in ("3\n42\n", "0\n42\n"), inner
            assert name in await answer(home, "readlink /proc/$$/exe"), inner
            await answer(home, "exit 4")
            assert await answer(home, "echo $?") == "4\n", inner


async def test_a_shell_that_replaces_the_shell_marks_its_commands(tmp_path: Path) -> None:
    async with with_programs(seconds=120) as home:
        await home.announce("p", "bash", kind="terminal")
        for replacing in ("exec bash", "exec bash --norc", "exec sh", "exec bash"):
            await answer(home, replacing)
            assert await evidence(home, "(exit 5)") == "mark 5", replacing
            assert await answer(home, "sleep 0.5; echo $((6*7))") == "42\n", replacing


async def test_the_users_startup_files_keep_their_effect_in_an_inner_shell(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("PS1='mine> '\nPROMPT_COMMAND='seen=$?'\nalias greet='echo hello'\n")
    env = {**PROGRAM_ENVIRONMENT, "HOME": str(tmp_path), "ENV": "$HOME/shrc"}
    (tmp_path / "shrc").write_text("from_env=1\n")
    async with with_programs(seconds=120) as home:
        await home.announce("p", "bash", kind="terminal", env=env)
        await answer(home, "bash")
        assert await evidence(home, "(exit 6)") == "mark 6"
        assert await answer(home, "echo $seen $?; greet") == "6 6\nhello\n"
        await answer(home, "sh")
        assert await answer(home, "echo $from_env") == "1\n"
        await answer(home, "exit")
        (tmp_path / ".bashrc").write_text('PROMPT_COMMAND="seen=1; $PROMPT_COMMAND; other=2"\n')
        await answer(home, "bash")
        assert await evidence(home, "(exit 7)") == "mark 7"
        assert await answer(home, "echo $seen $other") == "1 2\n"
        (tmp_path / ".bashrc").write_text("PROMPT_COMMAND+=('more=3')\n")
        await answer(home, "bash")
        assert await evidence(home, "(exit 8)") == "mark 8"
        assert await answer(home, "echo $more") == "3\n"


async def test_the_trace_of_the_hubs_marks_with_set_x_is_not_in_an_answer() -> None:
    async with with_programs() as home:
        await home.announce("p", "bash", "--norc", kind="terminal")
        await answer(home, "set -x")
        shown = await answer(home, "echo one")
        assert "one\n" in shown and "133" not in shown and "rhetor" not in shown


async def test_a_shell_inside_su_marks_its_commands() -> None:
    needs("su")
    import os

    if os.getuid():
        pytest.skip("su asks for a password")
    async with with_programs() as home:
        await home.announce("p", "bash", "--norc", kind="terminal")
        await answer(home, "su")
        assert await evidence(home, "(exit 9)") == "mark 9"
        await answer(home, "exit")
        assert await answer(home, "echo ok") == "ok\n"


@pytest.mark.long
async def test_long_output_of_a_shell_that_marks_only_its_prompts_is_complete() -> None:
    async with with_programs() as home:
        await home.announce("p", "dash", kind="terminal")
        count = 12_000  # lines of a hundred characters, more than 1 MiB
        said = await answer(home, f"seq -f %0100.0f {count}")
        assert said.splitlines() == [f"{number:0100}" for number in range(1, count + 1)]
