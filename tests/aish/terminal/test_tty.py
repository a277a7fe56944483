"""The user's terminal: raw while needed, and restored afterwards, whatever happens to the process."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aish.terminal.tty import PLAIN, raw
from tests.aish.attachable import Window, window
from tests.aish.scripted import TIMEOUT, Shell

# makes the terminal raw, reports it, and acts on one key
PROGRAM = """
import os, select, sys
from aish.terminal.tty import RawTerminal, Signalled, window_size
rounds = int(sys.argv[1])
for _ in range(rounds):
    with RawTerminal() as terminal:
        os.write(1, b"raw %d\\r\\n" % os.getpid())
        while True:
            readable = select.select([0, terminal.wakeup], [], [])[0]
            if terminal.wakeup in readable:
                terminal.handle_wakeup()
                os.write(1, b"size %d %d\\r\\n" % window_size())
            if 0 in readable:
                key = os.read(0, 1)
                if key == b"x":
                    raise RuntimeError("planned")
                break
print("over", flush=True)
"""


@contextmanager
def program(aish: Shell, rounds: int = 1) -> Iterator[tuple[Window, list[Any]]]:
    """Run the program above until it is raw; yield it and the terminal's original attributes."""
    with window(aish, command=[sys.executable, "-c", PROGRAM, str(rounds)]) as shown:
        before = fresh()
        shown.wait_for("raw ")
        assert shown.is_raw()
        yield shown, before


def fresh() -> list[Any]:
    """Return the attributes that the kernel gives each new terminal."""
    master, slave = os.openpty()
    try:
        return termios.tcgetattr(slave)
    finally:
        os.close(master)
        os.close(slave)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def files_of(pid: int) -> list[str]:
    """Return the files of the process's descriptors, in order."""
    numbers = sorted(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
    return [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in numbers]


def wait_until_gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], TIMEOUT)[0], f"process {pid} is still there"
    finally:
        os.close(process)


def test_a_normal_end_restores_the_terminal_and_leaves_no_guardian(aish: Shell) -> None:
    with program(aish, rounds=2) as (shown, before):
        (guardian,) = children_of(shown.process.pid)
        shown.press(b"k")
        shown.wait_for("raw ", count=2)
        wait_until_gone(guardian)
        (second,) = children_of(shown.process.pid)  # and no zombie
        shown.press(b"k")
        assert shown.wait_for_end() == 0
        assert shown.attributes() == before
        assert shown.screen.count(PLAIN.decode()) == 2 and shown.screen.endswith("over\n")
        wait_until_gone(second)


def test_an_exception_restores_the_terminal(aish: Shell) -> None:
    with program(aish) as (shown, before):
        shown.press(b"x")
        assert shown.wait_for_end() == 1
        assert shown.attributes() == before
        assert "RuntimeError: planned\n" in shown.screen.split(PLAIN.decode())[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_fatal_signal_restores_the_terminal_first(aish: Shell, number: signal.Signals) -> None:
    with program(aish) as (shown, before):
        (guardian,) = children_of(shown.process.pid)
        os.kill(shown.process.pid, number)
        assert shown.wait_for_end() == -number
        assert shown.attributes() == before
        assert PLAIN.decode() in shown.screen
        wait_until_gone(guardian)


def test_the_guardian_restores_the_terminal_when_the_process_is_killed(aish: Shell) -> None:
    with program(aish) as (shown, before):
        (guardian,) = children_of(shown.process.pid)
        os.kill(shown.process.pid, signal.SIGKILL)
        assert shown.wait_for_end() == -signal.SIGKILL
        wait_until_gone(guardian)
        shown.wait_for(PLAIN.decode())
        assert shown.attributes() == before


def test_the_guardian_blocks_signals_and_keeps_only_the_terminal_open(aish: Shell) -> None:
    with program(aish) as (shown, before):
        (guardian,) = children_of(shown.process.pid)
        shown.wait_until(lambda: len(list(Path(f"/proc/{guardian}/fd").iterdir())) == 3)
        assert os.getpgid(guardian) == guardian
        assert files_of(guardian)[:2] == files_of(shown.process.pid)[:2]
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTTOU):
            os.kill(guardian, number)
        os.killpg(shown.process.pid, signal.SIGKILL)
        wait_until_gone(guardian)
        assert shown.attributes() == before


def test_the_guardian_keeps_attributes_set_by_another_process(aish: Shell) -> None:
    with program(aish) as (shown, _):
        (guardian,) = children_of(shown.process.pid)
        theirs = shown.attributes()
        theirs[3] |= termios.ISIG
        termios.tcsetattr(shown.slave, termios.TCSANOW, theirs)
        os.kill(shown.process.pid, signal.SIGKILL)
        wait_until_gone(guardian)
        shown.wait_for(PLAIN.decode())
        assert shown.attributes() == theirs


def test_a_killed_guardian_does_no_harm(aish: Shell) -> None:
    with program(aish) as (shown, before):
        os.kill(children_of(shown.process.pid)[0], signal.SIGKILL)
        shown.press(b"k")
        assert shown.wait_for_end() == 0
        assert shown.attributes() == before


def test_a_new_size_wakes_the_loop_and_sigcont_makes_the_terminal_raw_again(aish: Shell) -> None:
    with program(aish) as (shown, before):
        shown.resize(41, 99)
        shown.wait_for("size 41 99\n")
        termios.tcsetattr(shown.slave, termios.TCSANOW, before)
        os.kill(shown.process.pid, signal.SIGCONT)
        shown.wait_for("size 41 99\n", count=2)
        assert shown.is_raw()
        shown.press(b"k")
        assert shown.wait_for_end() == 0


def test_a_paused_screen_does_not_prevent_the_process_from_exiting(aish: Shell) -> None:
    with program(aish) as (shown, before):
        termios.tcflow(shown.slave, termios.TCOOFF)
        os.kill(shown.process.pid, signal.SIGTERM)
        assert shown.process.wait(TIMEOUT) == -signal.SIGTERM
        assert shown.attributes() == before


def test_raw_attributes_are_those_of_cfmakeraw() -> None:
    master, slave = os.openpty()
    try:
        attributes = raw(termios.tcgetattr(slave))
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        assert termios.tcgetattr(slave) == attributes
        os.write(master, b"\x03\x1a\r\x11\x7f")
        assert os.read(slave, 10) == b"\x03\x1a\r\x11\x7f"
        os.write(slave, b"a\nb")
        assert os.read(master, 10) == b"a\nb"
    finally:
        os.close(master)
        os.close(slave)
