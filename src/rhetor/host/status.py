"""Collects the status of a host: its program, its terminal and its spool."""

from __future__ import annotations

import os

from rhetor.codec import host_frames as frames

from . import system
from .program import Program
from .reader import NO
from .spool import Spool, TailBuffer


def facts(program: Program, running: bool, spool: Spool, stderr: TailBuffer, waiting: bool) -> frames.Fields:
    """Return the fields of a status answer, except `exited`. Start times are clock ticks since boot."""
    foreground = program.foreground() if running else 0
    echo, canonical = program.modes() if running else (False, False)
    numbers = {
        "host_pid": os.getpid(),
        "host_start": system.start_time(os.getpid()),
        "program_pid": program.pid,
        "program_start": program.start,
        "rows": program.rows,
        "cols": program.cols,
        "earliest": spool.earliest,
        "head": spool.head,
        "acknowledged": spool.acknowledged,
        "waiting": int(waiting),
        "stderr_total": stderr.total,
        "stderr_lost": stderr.lost,
        "echo": int(echo),
        "canonical": int(canonical),
        "foreground_pid": foreground,
    }
    return [
        *((name, b"%d" % number) for name, number in numbers.items()),
        ("boot_id", system.boot_id()),
        ("mode", b"pty" if program.terminal else b"pipes"),
        ("foreground_name", system.name(foreground)),
        ("reader", reader_of(program) if running else NO),
    ]


def reader_of(program: Program) -> bytes:
    """Return what the program does about input.

    If it has not read all of its input, it has something to do. If there is output that is not in the spool
    yet, `head` is not the end of what the program printed before it waited; so this is checked last.
    """
    if program.unread():
        return NO
    found = program.reader()
    return NO if program.unheard() else found
