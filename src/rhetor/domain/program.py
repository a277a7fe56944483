"""What a peer's program is and how it goes: values that outlive the process they speak of."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

ProgramState = Literal["available", "idle", "busy", "blocked", "stuck", "gone", "missing"]
OnExit = Literal["survive", "reap"]


class Program(Struct, frozen=True, gc=False):
    """How a program is started and spoken to. Its environment is no part of it: that is never stored.

    `delimiter`: what makes it run what it was sent, None for its kind's own. `protocol` aish-json: JSON lines
    both ways. `prompt`: a regular expression for the line on which it waits for input. `on_exit`: whether it
    survives its hub. `hint`: how to get it, where it is missing.
    """

    argv: tuple[str, ...]
    cwd: str
    delimiter: str | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: str | None = None
    on_exit: OnExit = "survive"
    hint: str = ""


class Launch(Struct, frozen=True, gc=False):
    """What a program is given when it starts, and nobody keeps. `rows` and `cols`: of its terminal."""

    cwd: str
    env: dict[str, str]
    rows: int = 24
    cols: int = 80


class Dialog(Struct, frozen=True, gc=False):
    """A question on a program's screen that typed text would answer."""

    text: str
    options: tuple[str, ...] = ()


class ProgramStatus(Struct, frozen=True, gc=False):
    """How a program is, and how that is known. `since`: Unix time in milliseconds. `screen`: the lines of its
    terminal, where it has one and they were asked for."""

    state: ProgramState
    evidence: str
    since: int
    reasons: tuple[str, ...] = ()
    dialog: Dialog | None = None
    screen: tuple[str, ...] | None = None


class Exit(Struct, frozen=True, gc=False):
    """How a program ended: by itself with a code, or by a signal; `lost`: with its host, and why."""

    exit_code: int | None = None
    signal: int | None = None
    lost: str | None = None

    @property
    def detail(self) -> str:
        if self.lost is not None:
            return self.lost
        return f"it exited with {self.exit_code}" if self.signal is None else f"signal {self.signal} ended it"
