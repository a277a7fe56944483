"""Why a turn of a program counts as ended, and why a terminal counts as idle, busy, blocked or stuck.

Values and one function over them; how the signs are gathered is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec

if TYPE_CHECKING:
    from rhetor.drivers.programs.terminal.dialogs import Dialog

EndKind: TypeAlias = Literal["delimiter", "idle", "exit", "prompt", "mark", "quiet"]


class Evidence(NamedTuple):
    """What showed that a turn had ended. `exit_code`: of the command (a mark told it) or of the program;
    `signal`: the number of the one that ended the program."""

    kind: EndKind
    detail: str
    exit_code: int | None = None
    signal: int | None = None


def ended_by_exit(code: int | None, signal: int | None) -> Evidence:
    """The program ended, with a code or by a signal."""
    detail = f"the program was ended by signal {signal}" if signal else f"the program ended with code {code}"
    return Evidence("exit", detail, code, signal)


class Signs(msgspec.Struct, frozen=True):
    """What is known of a terminal at one moment. `quiet_for`: seconds since its last byte, `turn_for`:
    seconds since the turn began, None where there is none; `prompt`: the line on which it waits, where it
    stands at a prompt (seen as one before, or by its marks); `marks`: the program tells its commands'
    beginning and end, `in_command`: the last of these was a beginning."""

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
    """What a terminal is doing, and the reason in words.

    A dialog goes before everything: nothing may be typed. A turn that says nothing for `stuck_after` seconds
    is stuck; without a turn, output within the last `quiet` seconds is busy.
    """
    if signs.dialog is not None:
        return Status("blocked", f"asks: {signs.dialog.evidence}")
    since = "no output yet" if signs.quiet_for is None else f"no output for {signs.quiet_for:.1f} s"
    if signs.turn_for is not None:
        silent = signs.turn_for if signs.quiet_for is None else min(signs.quiet_for, signs.turn_for)
        if silent >= stuck_after and not signs.exited:
            return Status("stuck", f"a turn runs for {signs.turn_for:.0f} s, {since}")
        return Status("busy", f"a turn runs for {signs.turn_for:.1f} s, {since}")
    if signs.exited:
        return Status("idle", "the program has ended")
    if signs.in_command:
        return Status("busy", f"a command runs that no turn began, {since}")
    if signs.prompt is not None:
        return Status("idle", f"at its prompt {signs.prompt.strip()!r}")
    if signs.marks:
        return Status("idle", "its last command is done")
    if signs.quiet_for is not None and signs.quiet_for < quiet:
        return Status("busy", f"wrote {signs.quiet_for:.1f} s ago")
    return Status("idle", since)
