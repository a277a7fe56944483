"""What a host reports about its program's input is correct for a program that has just answered."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from rhetor.drivers.programs.host.spec import Limits, ProgramSpec, request
from rhetor.host.program import Program
from rhetor.host.reader import NO, WAITS
from rhetor.host.spec import Spec
from rhetor.host.status import reader_of

SECONDS = 60.0


@contextmanager
def running(mode: Literal["pty", "pipes"], folder: Path) -> Iterator[Program]:
    spec = ProgramSpec(("/bin/cat",), str(folder), {}, mode)
    program = Program(Spec(request(spec, Limits(), str(folder), str(folder / "s"), b"n")))
    try:
        yield program
    finally:
        os.kill(program.pid, signal.SIGKILL)
        os.waitpid(program.pid, 0)
        program.close()


def until_it_waits(program: Program) -> None:
    ends = time.monotonic() + SECONDS
    while program.reader() != WAITS or program.unread():
        assert time.monotonic() < ends, "the program never waited for input"


@pytest.mark.parametrize("mode", ["pty", "pipes"])
def test_a_program_with_unread_output_is_not_reported_as_waiting(
    mode: Literal["pty", "pipes"], tmp_path: Path
) -> None:
    with running(mode, tmp_path) as program:
        until_it_waits(program)
        assert program.input is not None
        os.write(program.input, b"hello\n")
        assert select.select([program.output], [], [], SECONDS)[0]
        until_it_waits(program)
        assert reader_of(program) == NO
        while select.select([program.output], [], [], 0.2)[0]:
            os.read(program.output, 4096)
        assert reader_of(program) == WAITS
