"""What a program prints although no message asked for it, as text: nothing of it is lost, and nothing else is
in it."""

from __future__ import annotations

import asyncio
import json
import os
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.event import OutputDelta
from rhetor.drivers.programs.terminal.unasked import Unasked
from tests.rhetor.codec.test_sse import cut
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import SECONDS, Served, with_programs

A, B, C, D = b"\x1b]133;A\x07", b"\x1b]133;B\x07", b"\x1b]133;C\x07", b"\x1b]133;D;0\x07"


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b"late\r\n", "late\n"),
        (D + A + b"~/dir\r\n$ " + B, ""),  # a prompt of two lines
        (D + b"\r\n" + A + b"$ " + B + b"late\r\n", "late\n"),
        (D + b"took 3 s\r\n" + A + b"$ " + B, "took 3 s\n"),
        (A + b"$ " + B + b"10%\r99%\r\n", "99%\n"),
        (b"half" + A + b"$ " + B + b"\r\nlate\r\n", "half\nlate\n"),
        (b"\x1b[?1049hdrawn\r\n\x1b[?1049llate\r\n", "late\n"),
    ],
)
@given(places=st.lists(st.integers(0, 80), max_size=4))
def test_only_lines_that_are_not_prompts_are_returned(stream: bytes, lines: str, places: list[int]) -> None:
    unasked = Unasked(80)
    for piece in cut(stream, places):
        unasked.feed(piece)
    assert unasked.lines() == lines


@pytest.mark.parametrize(
    ("stream", "prompt", "exact", "besides"),
    [
        (b"$ echo three", "$ ", True, ""),
        (b"echo three", "", True, ""),
        (b"$ echo thlate\r\nree", "$ ", True, "late\n"),
        (b"$ late\r\necho three", "$ ", True, "late\n"),
        (b"$ lateecho three", "$ ", True, "late\n"),
        (b"$ echo three\r\necho\r\n", "$ ", True, "echo\n"),
        (b"$ echo \rthree", "", False, ""),
        (b"$ echo three\x1b[10C[12:00]\x1b[17D", "$ ", False, ""),
        (b"$ echo three\r\x1b[K$ echo three", "$ ", False, ""),
        (b"$ echo three\r\n\x1b[90mthree\x1b[39m\x1b[1A\x1b[12G", "$ ", False, ""),  # a preview
        (b"$ echo \r\n   ...: three\r\n   ...: ", "$ ", False, ""),
        (b"one\r\ntwo\r\n$ echo three", "$ ", False, "one\ntwo\n"),
    ],
)
def test_output_that_is_not_an_echo_of_the_typed_text_is_found(
    stream: bytes, prompt: str, exact: bool, besides: str
) -> None:
    unasked = Unasked(80)
    unasked.feed(stream)
    assert unasked.besides("echo three", prompt, exact=exact) == besides


def test_a_line_editor_that_moves_within_its_line_hides_no_output() -> None:
    unasked = Unasked(10)
    unasked.feed(b"late\r\n0123456789abcdef\x1b[1A\x1b[3G")
    assert unasked.besides("0123456789abcdef", "", exact=False) == "late\n"


def test_the_echo_of_several_lines_is_not_output() -> None:
    unasked = Unasked(20)
    unasked.feed(b"$ for i in 1 2; do\r\n  echo $i and a lon\r\ng line\r\ndone")
    typed = "for i in 1 2; do\n  echo $i and a long line\ndone"
    assert unasked.besides(typed, "$ ", exact=False) == ""


async def unsolicited(home: Served, wanted: str) -> str:
    """Wait for this text, and return all unsolicited output up to it."""
    session = await home.standing("p")
    said = ""

    def heard(payload: object) -> bool:
        nonlocal said
        if isinstance(payload, OutputDelta) and payload.channel == "unsolicited":
            said += payload.text
        return wanted in said

    await home.seen(session, heard)
    return said


@pytest.mark.parametrize(
    "program", [("dash",), ("env", "dash"), ("bash",), ("env", "bash", "--norc")], ids=" ".join
)
@pytest.mark.parametrize("text", ["late\\n", "late"])
@pytest.mark.anyio
async def test_output_of_a_background_job_is_logged(
    program: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    async with with_programs() as home:
        await home.announce("p", *program, kind="terminal")
        await home.say("p", "echo first")
        await home.say("p", f"(read x <{tmp_path}/go; printf '{text}') &")
        (tmp_path / "go").write_text("go\n")
        async with asyncio.timeout(SECONDS):
            while "late" not in "".join((await home.status("p"))["screen"]).replace("printf 'late", ""):
                heard = home.hub.state.notifier.next()
                await asyncio.wait([asyncio.ensure_future(heard.wait())], timeout=0.1)
        answer = (await home.say("p", "echo three")).json["response"]
        assert answer.startswith("three\n")  # some shells report here that the job is done
        said = await unsolicited(home, "late\n")
        assert said.count("late") == 1 and "echo" not in said


# prints a line when typed text starts to arrive, and echoes by itself
INTERRUPTS = """
import os, tty
tty.setraw(0)
os.write(1, b"> ")
line, spoken = b"", False
while data := os.read(0, 65536):
    for byte in data:
        if byte == 13:
            os.write(1, b"\\r\\ngot " + line + b"\\r\\n> ")
            line = b""
        else:
            line += bytes((byte,))
            os.write(1, bytes((byte,)))
            if len(line) == 4 and not spoken:
                spoken = True
                os.write(1, b"\\r\\nnews of today\\r\\n> " + line)
"""


@pytest.mark.anyio
async def test_output_during_the_typing_of_a_message_is_logged() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, INTERRUPTS, kind="terminal")
        answer = (await home.say("p", "a message")).json
        assert answer["response"] == "got a message\n"
        assert "news of today\n" in await unsolicited(home, "news of today\n")


@pytest.mark.anyio
async def test_an_unfinished_line_is_logged_when_the_program_ends() -> None:
    says = "import os, sys; os.write(1, b'one\\ntwo'); sys.stdin.readline()"
    async with with_programs() as home:
        await home.announce("p", *PYTHON, says, kind="terminal")
        session = await home.standing("p")
        await home.seen(session, lambda payload: "one" in getattr(payload, "text", ""))
        await home.ask("DELETE", "/api/v2/programs/p")
        assert await unsolicited(home, "two") == "one\ntwo"


@pytest.mark.anyio
async def test_the_next_message_streams_earlier_unsolicited_output(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    async with with_programs() as home:
        await home.announce("p", "dash", kind="terminal")
        await home.say("p", f"(read x <{tmp_path}/go; echo late) &")
        (tmp_path / "go").write_text("go\n")
        await unsolicited(home, "late\n")

        async def streamed(text: str) -> list[tuple[str, str]]:
            """The text of each run of frames on one channel."""
            body = {"content": text, "execute": True}
            frames = (await home.ask("POST", "/api/v2/ai/p/stream", body)).text
            found = [json.loads(line[6:]) for line in frames.splitlines() if line.startswith("data: ")]
            pieces = [one for one in found if one["type"] == "content"]
            by_channel = groupby(pieces, key=lambda one: str(one.get("channel", "answer")))
            return [(channel, "".join(one["data"] for one in run)) for channel, run in by_channel]

        unasked, answer = await streamed("echo three")
        # the shell may also report the finished job before its prompt
        assert unasked == ("unsolicited", "late\n") and answer[1].startswith("three\n")
        assert await streamed("echo four") == [("answer", "four\n")]
