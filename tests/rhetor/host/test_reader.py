"""Whether real programs wait for input, for something else too, or not at all, as the kernel shows it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rhetor.drivers.programs.host.spec import Limits, ProgramSpec, request
from rhetor.host.program import Program
from rhetor.host.reader import NO, POLLS, SHARES, WAITS
from rhetor.host.spec import Spec
from rhetor.host.status import reader_of
from tests.needs import needs
from tests.rhetor.drivers.programs.host.hosting import PYTHON

SECONDS = 60.0
# from here on, the program works on a message; it reports that on stdout
READS = "import os, sys; os.write(1, b'.')\n"

ASYNCIO = """
import asyncio, os, sys
async def main():
    reader = asyncio.StreamReader()
    connected = lambda: asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(connected, sys.stdin)
    os.write(1, b".")
    {before}
    while line := await reader.readline(): print(line)
asyncio.run(main())
"""
SELECTS = "import select; select.select([0], [], [])"
POLLS_FOREVER = "import select; p = select.poll(); p.register(0, select.POLLIN); p.poll()"
LIMITED = "import select; select.select([0], [], [], 1000)"
A_DAY = "import select; e = select.epoll(); e.register(0, select.EPOLLIN); e.poll(86400)"
OWN_PIPE = "import os, select; r, w = os.pipe(); select.select([0, r], [], [])"
A_PIPE = """
import select, subprocess
child = subprocess.Popen(["sleep", "1000"], stdout=subprocess.PIPE)
select.select([0, child.stdout], [], [])
"""
NESTED = """
import select
inner, outer = select.epoll(), select.epoll()
inner.register(0, select.EPOLLIN)
outer.register(inner.fileno(), select.EPOLLIN)
outer.register(0, select.EPOLLIN)
outer.poll()
"""
JOINED = """
import sys, threading
reading = threading.Thread(target=sys.stdin.readline)
reading.start()
reading.join()
"""
WORKS_IN_ANOTHER = """
import sys, threading, time
threading.Thread(target=sys.stdin.readline).start()
time.sleep(1000)
"""
WAITS_FOR_A_SERVER = """
import select, socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: select.select([server], [], [])).start()
sys.stdin.readline()
"""
# as in Go: one thread reads, the others sleep, one of them for a minute at a time
LIKE_GO = """
import ctypes, sys, threading
libc, word = ctypes.CDLL(None), ctypes.c_int(0)
limit = (ctypes.c_long * 2)({seconds}, 0)
number = 202 if "{machine}" == "x86_64" else 98
monitor = lambda: libc.syscall(number, ctypes.byref(word), 128, 0, ctypes.byref(limit))
threading.Thread(target=monitor, daemon=True).start()
sys.stdin.readline()
"""


def like_go(seconds: int) -> str:
    return LIKE_GO.format(seconds=seconds, machine=os.uname().machine)


@contextmanager
def running(argv: tuple[str, ...], folder: Path, mode: str = "pipes") -> Iterator[Program]:
    spec = ProgramSpec(argv, str(folder), {"PATH": os.environ["PATH"]}, mode)  # type: ignore[arg-type]
    program = Program(Spec(request(spec, Limits(), str(folder), str(folder / "s"), b"n")))
    try:
        yield program
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        os.waitpid(program.pid, 0)
        program.close()


def settled(program: Program, expected: bytes) -> bytes:
    """Return what the program does about input, once this is as expected or the time is over."""
    ends = time.monotonic() + SECONDS
    while (found := program.reader()) != expected and time.monotonic() < ends:
        time.sleep(0.01)
    return found


def heard(program: Program, wanted: bytes) -> None:
    """Wait until the program has printed this."""
    ends, said = time.monotonic() + SECONDS, b""
    while wanted not in said:
        assert time.monotonic() < ends, said
        try:
            said += os.read(program.output, 4096)
        except BlockingIOError:
            time.sleep(0.01)


@pytest.mark.parametrize(
    "code",
    [SELECTS, POLLS_FOREVER, A_DAY, OWN_PIPE, NESTED, JOINED, like_go(60), ASYNCIO.format(before="pass")],
    ids=["select", "poll", "a day", "own pipe", "nested", "joined", "like Go", "asyncio"],
)
def test_a_program_waits_for_input_if_nothing_else_can_wake_it(code: str, tmp_path: Path) -> None:
    with running((*PYTHON, code), tmp_path) as program:
        assert settled(program, WAITS) == WAITS


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (LIMITED, POLLS),
        (WORKS_IN_ANOTHER, POLLS),
        (WAITS_FOR_A_SERVER, POLLS),
        (like_go(50), POLLS),
        (ASYNCIO.format(before="asyncio.get_running_loop().call_later(1000, print)"), POLLS),
        (ASYNCIO.format(before="server = await asyncio.start_server(print, '127.0.0.1', 0)"), SHARES),
        (A_PIPE, SHARES),
        ("import time; time.sleep(1000)", NO),
    ],
    ids=["time limit", "thread", "server's thread", "a timer", "call later", "server", "a child", "sleep"],
)
def test_a_program_that_something_else_can_wake_does_not_count_as_waiting(
    code: str, expected: bytes, tmp_path: Path
) -> None:
    with running((*PYTHON, code), tmp_path) as program:
        time.sleep(0.2)  # there is no event for the start; a program that waits does so by then
        assert settled(program, expected) == expected


def test_node_waits_for_input_between_two_lines(tmp_path: Path) -> None:
    needs("node")
    code = "require('readline').createInterface({input: process.stdin}).on('line', line => console.log(line))"
    with running(("node", "-e", code), tmp_path) as program:
        assert settled(program, WAITS) == WAITS
        assert program.input is not None
        os.write(program.input, b"hello\n")
        heard(program, b"hello\n")
        assert settled(program, WAITS) == WAITS


def piped(*programs: str) -> tuple[str, ...]:
    return ("sh", "-c", " | ".join(programs))


def python(code: str) -> str:
    return shlex.join([sys.executable, "-I", "-S", "-u", "-c", code])


def test_a_pipeline_waits_for_input_only_if_all_its_programs_do(tmp_path: Path) -> None:
    works = "import sys, time\nfor line in sys.stdin: print(line); time.sleep({}); print('done')"
    with running(piped("cat", python(works.format(1000))), tmp_path) as program:
        assert settled(program, WAITS) == WAITS
        assert program.input is not None
        os.write(program.input, b"hello\n")
        heard(program, b"hello\n")
        assert settled(program, POLLS) == POLLS


def test_a_shell_waits_for_input_while_a_background_job_runs(tmp_path: Path) -> None:
    with running(("sh",), tmp_path) as program:
        assert program.input is not None
        os.write(program.input, b"sleep 1000 & echo begun\n")
        heard(program, b"begun\n")
        assert settled(program, WAITS) == WAITS


def test_a_program_in_a_terminal_can_wait_for_input(tmp_path: Path) -> None:
    with running((*PYTHON, ASYNCIO.format(before="pass")), tmp_path, "pty") as program:
        assert settled(program, WAITS) == WAITS
        assert reader_of(program) in (WAITS, NO)  # its output may be on the way
