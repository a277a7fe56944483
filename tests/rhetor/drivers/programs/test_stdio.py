"""Programs on pipes: stderr next to the answers, invalid UTF-8, and writes that fail."""

from __future__ import annotations

import sys
import time

import pytest

from rhetor.domain import event as ev
from rhetor.drivers.programs import readiness
from rhetor.drivers.programs.host import hosts
from rhetor.drivers.programs.host.folder import start_time
from tests.rhetor.drivers.programs.host.broken_host import FailingLink
from tests.rhetor.drivers.programs.host.hosting import PYTHON, ended
from tests.scale import FULL
from tests.served import PROGRAM_ENVIRONMENT, with_programs

pytestmark = pytest.mark.anyio

STDERR_BYTES = (1 << 30) if FULL else (8 << 20)
# floods stderr from a thread, answers lines, and prints `flooded` when all of it was written
FLOODS = """
import os, sys, threading
def flood():
    for _ in range(int(sys.argv[1]) >> 16):
        os.write(2, b"e" * 65535 + b"\\n")
    print("flooded", flush=True)
threading.Thread(target=flood).start()
for line in sys.stdin:
    print("heard", line, end="", flush=True)
"""


@pytest.mark.long
async def test_a_flood_on_stderr_delays_no_answer_and_dropped_output_is_reported() -> None:
    async with with_programs(seconds=600) as home:
        await home.announce("p", *PYTHON, FLOODS, str(STDERR_BYTES), delimiter="\n")
        answered = 0
        session = await home.standing("p")
        began = time.monotonic()
        while "flooded" not in str(await home.log(session)):
            assert f"heard {answered}\n" in (await home.say("p", f"{answered}")).json["response"]
            answered += 1
            assert time.monotonic() - began < 500
        assert answered
        payloads = await home.seen(session, lambda p: "were not kept" in getattr(p, "text", ""))
        kept = [p.text for p in payloads if isinstance(p, ev.OutputDelta) and p.channel == "stderr"]
        assert sum(map(len, kept)) < STDERR_BYTES / 2


async def test_invalid_bytes_are_recorded_next_to_a_replacement_character() -> None:
    says = "import sys; sys.stdin.readline(); sys.stdout.buffer.write(b'a\\xff\\xfeb\\xc3\\xa4\\n')"
    async with with_programs() as home:
        await home.announce("p", *PYTHON, says)
        assert (await home.say("p", "go")).json["response"] == "a\ufffdb\xe4\n"
        log = await home.log(await home.standing("p"))
        assert [p.raw for p in log if isinstance(p, ev.AgentRecord)] == ["//4="]


async def test_the_delimiter_is_found_in_any_chunking_and_later_text_is_not_lost() -> None:
    says = (
        "import os, sys\n"
        "for line in sys.stdin:\n"
        "    for byte in b'one <E' + b'ND> two <END> late': os.write(1, bytes([byte]))"
    )
    async with with_programs() as home:
        await home.announce("p", *PYTHON, says, delimiter="<END>")
        # the peer's delimiter has no newline, so the message has one
        assert (await home.say("p", "go\n")).json["response"] == "one "
        session = await home.standing("p")
        heard = ""

        def is_late(payload: ev.Payload) -> bool:
            nonlocal heard
            heard += payload.text if isinstance(payload, ev.OutputDelta) else ""
            return heard.endswith("late")

        await home.seen(session, is_late)


async def test_a_turn_fails_if_the_program_has_closed_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "START_SECONDS", 0.5)  # the program never reads
    deaf = "import os, time; os.close(0); print('deaf', flush=True); time.sleep(600)"
    async with with_programs() as home:
        await home.announce("p", *PYTHON, deaf)
        await home.seen(await home.standing("p"), lambda p: "deaf" in getattr(p, "text", ""))
        answer = await home.say("p", "hi")
        assert (answer.status, answer.json["code"]) == (502, "stdin_closed")
        assert (await home.status("p"))["status"] == "idle"


async def test_an_interpreter_with_its_prompt_on_stderr_has_answered_at_the_next_prompt() -> None:
    async with with_programs(seconds=60) as home:
        await home.announce("py", sys.executable, "-i", "-q")
        await home.seen(await home.standing("py"), lambda p: ">>> " in getattr(p, "text", ""))
        told = [(await home.say("py", said)).json["response"] for said in ("x = 5", "print(x)", "1/0", "x")]
        assert told == ["", "5\n", "", "5\n"]


@pytest.mark.long
async def test_a_turn_waits_for_a_program_that_pauses_and_has_the_whole_answer() -> None:
    pauses = (
        "import time\n"
        "while True:\n"
        "    line = input()\n"
        "    for part in range(3): print(line, part, flush=True); time.sleep(0.5)\n"
    )
    async with with_programs() as home:
        await home.announce("p", *PYTHON, pauses)
        for text in ("a", "b"):
            said = (await home.say("p", text)).json
            assert (said["response"], said["finish_reason"]) == (f"{text} 0\n{text} 1\n{text} 2\n", "stop")


async def test_a_command_without_output_is_answered_when_the_shell_reads_again() -> None:
    async with with_programs() as home:
        await home.announce("p", "sh")
        assert (await home.say("p", "sleep 0.5; true")).json["response"] == ""
        assert (await home.say("p", "echo $?")).json["response"] == "0\n"


async def test_a_message_never_joins_text_that_was_written_and_not_run() -> None:
    async with with_programs() as home:
        await home.announce("p", "cat")
        assert (await home.say("p", "ab", execute=False)).json["finish_reason"] == "typed"
        refused = await home.say("p", "cd")
        assert (refused.status, refused.json["code"]) == (502, "program_blocked")
        assert refused.json["hint"] == 'run it with: aish p "" -x'
        assert (await home.say("p", "")).json["response"].endswith("\n")
        assert (await home.say("p", "cd")).json["response"] == "cd\n"


async def test_text_on_stderr_that_is_not_the_prompt_does_not_end_the_turn() -> None:
    says = (
        "import sys, time\n"
        "sys.stderr.write('ask> ')\nsys.stderr.flush()\n"
        "for line in sys.stdin:\n"
        "    sys.stderr.write('working')\n    sys.stderr.flush()\n"
        "    time.sleep(0.5)\n"
        "    print('done', flush=True)\n"
        "    sys.stderr.write('ask> ')\n    sys.stderr.flush()\n"
    )
    async with with_programs(seconds=60) as home:
        await home.announce("p", *PYTHON, says)
        await home.seen(await home.standing("p"), lambda p: "ask> " in getattr(p, "text", ""))
        assert (await home.say("p", "go")).json["response"] == "done\n"


async def test_a_turn_fails_with_the_reason_if_the_programs_output_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosts, "HostLink", FailingLink)
    repeats = "print(input(), flush=True); input()"
    async with with_programs() as home:
        pid = (await home.announce("p", *PYTHON, repeats, delimiter="|\n"))["pid"]
        start = start_time(pid) or 0
        session = await home.standing("p")
        answer = await home.say("p", "hi\n")
        assert (answer.status, answer.json["code"]) == (502, "program_ended")
        assert answer.json["detail"] == "p: the program's output cannot be read: RuntimeError: planted"
        await home.seen(session, lambda payload: isinstance(payload, ev.TurnFailed))
        await home.seen(session, lambda payload: isinstance(payload, ev.PeerLost))
        assert (await home.status("p"))["status"] == "gone"
        await ended(pid, start)


@pytest.mark.parametrize("pause", [0.2, 1.5])
async def test_a_key_printed_in_pieces_between_turns_is_masked(pause: float) -> None:
    key = "sk-CANARY-1234567890"
    says = (
        "import os, sys, time\n"
        f"os.write(1, b'key: {key[:10]}')\ntime.sleep({pause})\nos.write(1, b'{key[10:]}!\\n')\n"
        "sys.stdin.read()"
    )
    async with with_programs() as home:
        home.hub.state.secrets.add([key])
        # the host also knows the key, and replaces it once it is complete
        env = {**PROGRAM_ENVIRONMENT, "MY_API_KEY": key}
        await home.announce("p", *PYTHON, says, env=env)
        session = await home.standing("p")
        seen = await home.seen(session, lambda payload: "!" in getattr(payload, "text", ""))
        said = "".join(payload.text for payload in seen if isinstance(payload, ev.OutputDelta))
        assert said == "key: [masked]!\n"


READS_WITH_ASYNCIO = """
import asyncio, sys
async def main():
    reader = asyncio.StreamReader()
    connected = lambda: asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(connected, sys.stdin)
    while line := await reader.readline():
        await asyncio.to_thread(print, "heard", line.decode(), end="", flush=True)
asyncio.run(main())
"""


async def test_the_end_of_an_answer_is_certain_for_a_program_that_reads_with_asyncio() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, READS_WITH_ASYNCIO)
        for text in ("a", "b"):
            said = (await home.say("p", text)).json
            assert (said["response"], said["finish_reason"]) == (f"heard {text}\n", "stop")


async def test_a_pipeline_has_not_answered_while_one_of_its_programs_works() -> None:
    works = "import sys, time\nfor line in sys.stdin: time.sleep(1); print('heard', line, end='', flush=True)"
    argv = ("sh", "-c", 'cat | "$0" -I -S -c "$1"', sys.executable, works)
    async with with_programs() as home:
        await home.announce("p", *argv)
        for text in ("a", "b"):
            said = (await home.say("p", text)).json
            assert (said["response"], said["finish_reason"]) == (f"heard {text}\n", "stop")
