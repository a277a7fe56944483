"""Decides whether a terminal is idle, busy, blocked or stuck, and why. Also defines the evidence for the end
of a turn.

The module has only values and functions over them. It does not know how the signs are gathered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec

from rhetor.drivers.programs.host.values import HostStatus

if TYPE_CHECKING:
    from rhetor.drivers.programs.terminal.dialogs import Dialog

EndKind: TypeAlias = Literal["delimiter", "idle", "exit", "prompt", "waits", "mark", "quiet"]


class Evidence(NamedTuple):
    """Why a turn counts as ended. `exit_code`: of the command, if a mark reported it, or of the program.
    `signal`: the number of the signal that ended the program."""

    kind: EndKind
    detail: str
    exit_code: int | None = None
    signal: int | None = None


def ended_by_exit(code: int | None, signal: int | None) -> Evidence:
    """Return the evidence of a turn that ended because its program did."""
    detail = f"the program was ended by signal {signal}" if signal else f"the program exited with code {code}"
    return Evidence("exit", detail, code, signal)


_READERS = {
    "waits": "it waits for input",
    "polls": "it takes input, but may be doing something else",
    "shares": "it takes input, and waits for something else too",
    "no": "it does not wait for input",
}


class Signs(msgspec.Struct, frozen=True):
    """What is known about a terminal at one moment.

    `quiet_for`: seconds since its last output. `turn_for`: seconds since the turn began, None without a turn.
    `prompt`: the line with the cursor if it is a prompt. `marks`: the program marks the beginning and end of
    its commands (OSC 133); `in_command`: the last mark was a beginning.
    """

    exited: bool = False
    dialog: Dialog | None = None
    prompt: str | None = None
    marks: bool = False
    in_command: bool = False
    quiet_for: float | None = None
    turn_for: float | None = None


class Status(NamedTuple):
    state: Literal["idle", "busy", "blocked", "stuck"]
    evidence: str


def status(signs: Signs, *, quiet: float = 0.6, stuck_after: float = 60.0) -> Status:
    """Return what a terminal is doing, with the reason as a text for people.

    A dialog has priority, because nothing may be typed then. A turn without output for `stuck_after` seconds
    is stuck. If no turn is running, a terminal that wrote within the last `quiet` seconds is busy, unless it
    is known to wait at a prompt.
    """
    if signs.dialog is not None:
        return Status("blocked", f"asks: {signs.dialog.evidence}")
    since = "no output yet" if signs.quiet_for is None else f"no output for {signs.quiet_for:.1f} s"
    if signs.turn_for is not None:
        silent = signs.turn_for if signs.quiet_for is None else min(signs.quiet_for, signs.turn_for)
        if silent >= stuck_after and not signs.exited:
            return Status("stuck", f"a turn has been running for {signs.turn_for:.0f} s, {since}")
        return Status("busy", f"a turn has been running for {signs.turn_for:.1f} s, {since}")
    if signs.exited:
        return Status("idle", "the program has ended")
    if signs.in_command:
        return Status("busy", f"a command is running that no turn started, {since}")
    if signs.prompt is not None:
        return Status("idle", f"at its prompt {signs.prompt.strip()!r}")
    if signs.marks:
        return Status("idle", "its last command has finished")
    if signs.quiet_for is not None and signs.quiet_for < quiet:
        return Status("busy", f"wrote {signs.quiet_for:.1f} s ago")
    return Status("idle", since)


def observations(host: HostStatus | None, marks: bool) -> list[str]:
    """Return what is known about a running program, as texts for people. `marks`: it has marked a prompt or a
    command."""
    known = []
    if host is not None:
        known.append(f"foreground process: {host.foreground_name or '?'} (pid {host.foreground_pid})")
        if host.reader is not None:
            known.append(_READERS[host.reader])
    known.append("it marks its commands" if marks else "it does not mark its commands")
    return known
