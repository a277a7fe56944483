"""Messages to programs in terminals: what arrives, what is never typed, and what comes back."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.event import OutputDelta
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Program
from rhetor.drivers.programs.host.failures import HostSilent
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import HostStatus
from rhetor.drivers.programs.terminal.program import TerminalProgram
from tests.needs import needs
from tests.rhetor.drivers.programs.host.hosting import PYTHON, hosting, linked, program, said
from tests.served import PROGRAM_ENVIRONMENT, SECONDS, Served, with_programs

pytestmark = pytest.mark.anyio

# appends its input to the file in its first argument; `raw`: reads like a line editor, and echoes
KEEPS = """
import os, sys, termios, tty
raw = sys.argv[2] == "raw"
if raw:
    tty.setraw(0)
    old = termios.tcgetattr(0)
os.write(1, b"> ")
with open(sys.argv[1], "ab", buffering=0) as kept:
    while data := os.read(0, 65536):
        kept.write(data)
        if b"\\n" in data and raw:
            os.write(1, b"taken\\r\\n> ")
        if raw:
            os.write(1, data.replace(b"\\r", b"\\r\\n"))
        if data.endswith(b"\\r" if raw else b"the end\\n"):
            os.write(1, b"taken\\r\\n> ")
"""
# shows a text, and stores what it then reads
ASKS = """
import os, sys, termios
with open(sys.argv[1], "ab", buffering=0) as kept:
    if len(sys.argv) > 3:
        mode = termios.tcgetattr(0)
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSANOW, mode)
    os.write(1, sys.argv[2].encode())
    while data := os.read(0, 65536):
        kept.write(data)
"""
DIALOG = (
    "\x1b[2J\x1b[HDo you want to run this command?\r\n  rm -rf build\r\n\r\n"
    "❯ 1. Yes\r\n  2. Yes, and do not ask again\r\n  3. No\r\n\r\nEnter to confirm · Esc to cancel"
)


def every_kind(size: int, *, lines: bool) -> str:
    """Return a text of `size` bytes with characters of all planes; `lines`: in lines a terminal accepts."""
    chance = random.Random(7)
    ranges = (
        (0x20, 0x7E),
        (0xA1, 0x17F),
        (0x391, 0x3C9),
        (0x4E00, 0x9FFF),
        (0x1F300, 0x1F64F),
        (0x10000, 0x100FA),
    )
    text = ""
    while len(text.encode()) < size:
        text += "".join(chr(chance.randint(*chance.choice(ranges))) for _ in range(40))
        text += "\n" if lines else ""
    return text


async def until(home: Served, peer: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while True:
            heard = home.hub.state.notifier.next()
            if home.hub.state.instances[peer].status.state == status:
                return await home.status(peer)
            await heard.wait()


@pytest.mark.long
@pytest.mark.parametrize("mode", ["canonical", "raw"])
async def test_a_long_text_with_every_kind_of_character_arrives_unchanged(tmp_path: Path, mode: str) -> None:
    text = every_kind(20_000, lines=mode == "canonical") + "the end"
    async with with_programs(seconds=60) as home:
        await home.announce("p", *PYTHON, KEEPS, str(tmp_path / "kept"), mode, kind="terminal")
        answer = await home.say("p", text)
        assert answer.status == 200, answer.text
        end = "\n" if mode == "canonical" else "\r"
        assert (tmp_path / "kept").read_bytes() == (text + end).encode()


async def test_a_long_text_with_every_kind_of_character_passes_through_a_pipe(tmp_path: Path) -> None:
    keeps = (
        "import sys\n"
        "for line in sys.stdin.buffer: open(sys.argv[1], 'ab').write(line); print('ok', flush=True)"
    )
    text = every_kind(20_000, lines=True) + "\x00\x01\x7f\u2028\ufeff"
    async with with_programs() as home:
        await home.announce("p", *PYTHON, keeps, str(tmp_path / "kept"))
        assert (await home.say("p", text)).status == 200
        assert (tmp_path / "kept").read_bytes() == (text + "\n").encode()


@pytest.mark.parametrize(
    ("shown", "more", "evidence"),
    [(DIALOG, (), "Yes"), ("Proceed? [y/N] ", (), "Proceed"), ("Password: ", ("hidden",), "assword")],
    ids=["menu", "yes or no", "password"],
)
async def test_a_message_is_not_typed_into_a_question(
    tmp_path: Path, shown: str, more: tuple[str, ...], evidence: str
) -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, ASKS, str(tmp_path / "kept"), shown, *more, kind="terminal")
        answer = await home.say("p", "yes")
        assert (answer.status, answer.json["code"]) == (502, "program_blocked")
        assert answer.json["hint"] == "answer it there: aish tools attach p"
        blocked = await until(home, "p", "blocked")
        assert evidence in blocked["evidence"]
        assert evidence in blocked["dialog"]["text"]
        assert (tmp_path / "kept").read_bytes() == b""


async def test_a_question_in_bash_blocks_messages_until_a_person_answers() -> None:
    async with with_programs() as home:
        await home.announce("p", "bash", "--norc", kind="terminal")
        question = await home.say("p", 'read -p "Proceed? [y/N] " x; echo "got:$x"')
        assert "Proceed" in question.text
        answer = await home.say("p", "y")
        assert answer.json["code"] == "program_blocked"
        assert (await home.status("p"))["status"] == "blocked"
        await home.hub.state.instances["p"].running.link.write(b"n\r", "keys")  # type: ignore[attr-defined]
        await until(home, "p", "idle")
        assert (await home.say("p", "echo $x$x")).json["response"] == "nn\n"


async def test_text_that_is_not_echoed_is_not_submitted(tmp_path: Path) -> None:
    mute = "import os, sys, tty\ntty.setraw(0)\nos.write(1, b'> ')\n" + (
        "while data := os.read(0, 65536): open(sys.argv[1], 'ab').write(data); os.write(1, b'.')"
    )
    async with with_programs() as home:
        await home.announce("p", *PYTHON, mute, str(tmp_path / "kept"), kind="terminal")
        answer = await home.say("p", "run this")
        assert (answer.status, answer.json["code"]) == (502, "not_echoed")
        assert b"\r" not in (tmp_path / "kept").read_bytes()


HIDES = """
import os, tty
tty.setraw(0)
os.write(1, b"> ")
line = b""
while data := os.read(0, 65536):
    for byte in data:
        if byte == 13:
            os.write(1, b"\\r\\ngot %d characters\\r\\n> " % len(line))
        line = b"" if byte in (13, 21) else line + bytes((byte,))
        os.write(1, b".")
"""


async def test_a_message_that_was_not_shown_is_erased() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, HIDES, kind="terminal")
        refused = await home.say("p", "run this")
        assert (refused.status, refused.json["code"]) == (502, "not_echoed")
        assert "got 0 characters" in (await home.say("p", "")).json["response"]


async def test_a_program_finds_a_terminal_that_can_move_its_cursor() -> None:
    async with with_programs() as home:
        env = {**PROGRAM_ENVIRONMENT, "TERM": "dumb"}
        await home.announce("p", "dash", kind="terminal", env=env)
        assert (await home.say("p", "echo $TERM")).json["response"] == "xterm-256color\n"


async def test_with_execute_false_text_is_typed_and_not_run(tmp_path: Path) -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, KEEPS, str(tmp_path / "kept"), "raw", kind="terminal")
        typed = await home.say("p", "only this", execute=False)
        assert (typed.status, typed.json["response"], typed.json["finish_reason"]) == (200, "", "typed")
        assert (tmp_path / "kept").read_bytes() == b"only this"
        assert (await home.say("p", "")).status == 200
        assert (tmp_path / "kept").read_bytes() == b"only this\r"


@pytest.mark.parametrize("program", [("bash", "--norc"), ("bash",), ("dash",)])
async def test_a_message_replaces_text_that_was_typed_and_not_run(program: tuple[str, ...]) -> None:
    async with with_programs() as home:
        await home.announce("p", *program, kind="terminal")
        await home.say("p", "echo typed", execute=False)
        assert (await home.say("p", "echo run")).json["response"] == "run\n"
        await home.say("p", "echo typed", execute=False)
        assert (await home.say("p", "")).json["response"] == "typed\n"


async def test_a_message_never_joins_typed_text_that_cannot_be_removed(tmp_path: Path) -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, KEEPS, str(tmp_path / "kept"), "raw", kind="terminal")
        await home.say("p", "only this", execute=False)
        refused = await home.say("p", "and that")
        assert (refused.status, refused.json["code"]) == (502, "program_blocked")
        assert refused.json["hint"] == 'run it with: aish p "" -x'
        assert b"and that" not in (tmp_path / "kept").read_bytes()


async def test_the_delimiter_of_a_message_overrides_that_of_the_peer(tmp_path: Path) -> None:
    async with with_programs() as home:
        path = str(tmp_path / "kept")
        await home.announce("p", *PYTHON, KEEPS, path, "raw", kind="terminal", delimiter="\n")
        await home.say("p", "one")
        await home.say("p", "two", delimiter="\x04\r")
        assert (tmp_path / "kept").read_bytes() == b"one\ntwo\x04\r"


async def test_bash_and_python_return_the_output_of_a_command() -> None:
    async with with_programs() as home:
        await home.announce("sh", "bash", kind="terminal")
        await home.announce("py", "python3", kind="terminal")
        assert (await home.say("sh", "printf 'a\\nb\\n'; false")).json["response"] == "a\nb\n"
        assert (await home.say("sh", "echo $?")).json["response"] == "1\n"
        assert (await home.say("py", "6 * 7")).json["response"] == "42\n"
        idle = await home.status("sh")
        assert (idle["status"], "it marks its commands" in idle["reasons"]) == ("idle", True)


# shows no prompt and no question, and reads in one thread while it works in another
READS_IN_A_THREAD = """
import sys, threading, time
threading.Thread(target=lambda: [print("got", line, end="", flush=True) for line in sys.stdin]).start()
time.sleep(1000)
"""


@pytest.mark.long
@pytest.mark.parametrize("program", [("dash",), ("bash", "--norc"), ("bash",)], ids=" ".join)
async def test_a_turn_waits_for_a_silent_command_and_has_only_its_output(program: tuple[str, ...]) -> None:
    async with with_programs() as home:
        await home.announce("p", *program, kind="terminal")
        for text, answer in (
            ("sleep 1.2; echo two", "two\n"),
            ("true", ""),
            ("printf 'a$ '; sleep 1.2; echo", "a$ \n"),
            ("echo a\necho b", "a\nb\n"),
            ("for i in 1 2; do\necho $i\ndone", "1\n2\n"),
            ("read x", ""),
            ("given", ""),
            ("echo $x", "given\n"),
        ):
            said = await home.say("p", text)
            assert (said.json["response"], said.json["finish_reason"]) == (answer, "stop"), text


async def test_lines_pasted_into_gdb_are_separate_commands() -> None:
    async with with_programs() as home:
        await home.announce("p", needs("gdb"), "-q", "-nx", kind="terminal")
        assert (await home.say("p", "print 1\nprint 2")).json["response"] == "$1 = 1\n$2 = 2\n"


@pytest.mark.long
async def test_a_message_to_vim_is_a_command_unless_text_is_inserted() -> None:
    async with with_programs() as home:
        await home.announce("p", needs("vim"), "--clean", kind="terminal")
        for text, answer in ((':echo "one"', "one"), (":let a = 1", ""), (":startinsert", "-- INSERT --")):
            said = (await home.say("p", text)).json
            assert (said["response"], said["finish_reason"]) == (answer, "screen")
        await home.say("p", ":a\n  :b")
        assert (await home.status("p"))["screen"][:4] == [":a", "  :b", "", "~"]


# shows the prompt of another machine, whose shell takes a while to start
STARTS_ELSEWHERE = """
import os, select, signal, socket
connection, other = socket.socketpair()
if not os.fork():
    connection.close()
    signal.pause()
other.close()
select.select([0, connection], [], [], 1.5)
os.write(1, b"there$ ")
while select.select([0, connection], [], []):
    os.write(1, b"got " + os.read(0, 99) + b"there$ ")
"""


async def test_the_first_message_waits_for_the_prompt_of_another_machine() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, STARTS_ELSEWHERE, kind="terminal")
        said = (await home.say("p", "hi")).json
        assert (said["response"], said["finish_reason"]) == ("got hi\n", "stop")


# asks several questions in a row
ASKS_TWO = "print('hello', input('name? '), input('age? ')); input('more? ')"


async def test_questions_between_the_lines_of_a_message_are_on_separate_lines() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, ASKS_TWO, kind="terminal")
        assert (await home.say("p", "me\n7")).json["response"] == "age?\nhello me 7\nmore?"


async def test_a_program_without_a_prompt_answers_at_once() -> None:
    async with with_programs() as home:
        await home.announce("p", "cat", kind="terminal")
        async with asyncio.timeout(5):  # a regression made the first message take ten seconds
            said = (await home.say("p", "one\ntwo")).json
        assert (said["response"], said["finish_reason"]) == ("one\ntwo\n", "stop")


async def test_an_answer_ended_only_by_silence_has_that_finish_reason() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, READS_IN_A_THREAD, kind="terminal")
        said = (await home.say("p", "hi")).json
        assert (said["response"], said["finish_reason"]) == ("got hi\n", "silence")


async def test_a_shell_without_marks_inside_a_marked_shell_answers() -> None:
    async with with_programs() as home:
        await home.announce("p", "bash", kind="terminal")
        await home.say("p", "PS1='inner> ' dash")
        assert (await home.say("p", "sleep 1; echo $0")).json["response"] == "dash\n"
        await home.say("p", "exit")
        assert (await home.say("p", "echo ${0##*/}")).json["response"] == "bash\n"


async def test_output_after_the_prompt_is_logged_as_unsolicited(tmp_path: Path) -> None:
    async with with_programs() as home:
        await home.announce("p", "dash", kind="terminal")
        os.mkfifo(tmp_path / "go")
        await home.say("p", f"(read x <{tmp_path}/go; echo late) &")
        (tmp_path / "go").write_text("go\n")
        stream = await home.standing("p")
        unasked = OutputDelta("late\n", "unsolicited")
        async with asyncio.timeout(SECONDS):
            while unasked not in await home.log(stream):
                heard = home.hub.state.notifier.next()
                await asyncio.wait([asyncio.ensure_future(heard.wait())], timeout=0.1)
        answer = (await home.say("p", "echo three")).json["response"]
        assert answer.startswith("three\n") and "late\n" not in answer


async def test_a_turn_fails_with_its_partial_output_if_the_program_ends() -> None:
    async with with_programs() as home:
        await home.announce("p", "bash", "--norc", kind="terminal")
        answer = await home.say("p", "echo before; kill -9 $$")
        assert (answer.status, answer.json["code"]) == (502, "program_ended")
        assert "before" in json.dumps(answer.json["partial"])


async def test_a_program_that_is_silent_for_long_in_a_turn_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhetor.drivers.programs.program.STUCK_SECONDS", 0.2)
    async with with_programs() as home:
        await home.announce("p", *PYTHON, "import sys; sys.stdin.read()")
        turn = asyncio.create_task(home.say("p", "hi"))
        stuck = await until(home, "p", "stuck")
        assert stuck["evidence"].startswith("no output for ")
        deleted = await home.ask("DELETE", "/api/v2/programs/p")
        assert deleted.status == 200
        assert (await turn).json["code"] == "program_ended"


@pytest.mark.long
async def test_redrawing_the_screen_after_a_restart_of_the_hub_has_a_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = HostLink.status

    async def then_stops(link: HostLink) -> HostStatus:
        told = await ask(link)
        os.kill(link.identity.host_pid, signal.SIGSTOP)
        return told

    async with hosting(tmp_path) as hosts:
        first = await hosts.start("a", program("sh", "-c", "echo drawn; cat", mode="pty"))
        read = await said(first, b"drawn\r\n")
        link = await linked(hosts, "a")
        peer = Peer("p", PeerKind.TERMINAL, "terminal", program=Program(("sh",), "/"))
        running = TerminalProgram(peer, link, Feed(link, len(read), None), "host:a", lambda _: None)
        monkeypatch.setattr(HostLink, "status", then_stops)
        try:
            with pytest.raises(HostSilent):
                async with asyncio.timeout(15):
                    await running.drawn()
        finally:
            os.kill(link.identity.host_pid, signal.SIGCONT)
        monkeypatch.undo()
        assert (await running.drawn()).text()[0] == "drawn"
        await running.feed.aclose()
