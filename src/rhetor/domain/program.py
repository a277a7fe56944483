"""A peer's program: how it is started, and what is known about it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

ProgramState = Literal[
    "available", "idle", "busy", "blocked", "stuck", "gone", "missing", "online", "offline"
]
OnExit = Literal["survive", "reap"]


class Program(Struct, frozen=True, gc=False):
    """How a program is started and addressed. Its environment is not included, because it is never stored.

    `delimiter`: the characters that make the program run its input; None means the default of its kind.
    `protocol`: `aish-json` means JSON lines in both directions. `prompt`: a regular expression for the line
    on which the program waits for input. `on_exit`: whether the program survives its hub. `hint`: how to
    install it if it is missing.
    """

    argv: tuple[str, ...]
    cwd: str
    delimiter: str | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: str | None = None
    on_exit: OnExit = "survive"
    hint: str = ""


class Launch(Struct, frozen=True, gc=False):
    """The folder and the environment in which a program starts, and the size of its terminal. Not stored."""

    cwd: str
    env: dict[str, str]
    rows: int = 24
    cols: int = 80


class Dialog(Struct, frozen=True, gc=False):
    """A question on a program's screen that is answered by typing."""

    text: str
    options: tuple[str, ...] = ()


class ProgramStatus(Struct, frozen=True, gc=False):
    """The status of a program, and the evidence for it. `since`: Unix time in milliseconds.

    `screen`: the lines of its terminal, if it has one and they were requested.
    """

    state: ProgramState
    evidence: str
    since: int
    reasons: tuple[str, ...] = ()
    dialog: Dialog | None = None
    screen: tuple[str, ...] | None = None


class Exit(Struct, frozen=True, gc=False):
    """How a program ended: with an exit code or by a signal. `lost`: why its end is unknown."""

    exit_code: int | None = None
    signal: int | None = None
    lost: str | None = None

    @property
    def detail(self) -> str:
        """A description of how the program ended."""
        if self.lost is not None:
            return self.lost
        return (
            f"it exited with {self.exit_code}"
            if self.signal is None
            else f"it was ended by signal {self.signal}"
        )
