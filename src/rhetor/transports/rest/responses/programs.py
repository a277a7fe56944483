"""Programs and tools."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from .common import Time
from .peers import BriefSession


class Dialog(Struct):
    text: str
    options: list[str]


class PausedTurn(Struct):
    """A paused turn, and the permission request that continues it. `session_id`: its session or plan.
    `cause`: quota | budget. `resets_at`: when the cause ends, if that is known. `then`: the option that is
    chosen at that time; null if the turn waits for an answer."""

    turn_id: str
    session_id: str
    request_id: str
    cause: str
    reason: str
    resets_at: Time | None
    then: str | None
    since: Time


class ProgramStatus(Struct):
    """The status of a peer, and the evidence for it. `screen`: the lines of its terminal, if it has one.
    `session_id`: your session in which the output of its program between turns is logged. `paused`: your
    turns with it that are paused. `model`: of a specialist, or the one that a coding agent has reported."""

    name: str
    kind: str
    driver: str
    model: str | None
    status: str
    evidence: str
    since: Time
    pid: int | None
    exit_code: int | None
    signal: int | None
    reasons: list[str]
    screen: list[str] | None
    dialog: Dialog | None
    running: int
    waiting: int
    session_id: str | None
    paused: list[PausedTurn]


class Ended(Struct):
    """How a program ended: with a code, or by a signal; neither if that is unknown."""

    name: str
    exit_code: int | None
    signal: int | None


class Health(Struct):
    check: str
    ok: bool
    detail: str
    version: str | None


class Login(Struct):
    """Whether an agent is logged in. `how`: how this is known, or how to log in."""

    known: Literal["yes", "no", "unknown"]
    how: str


class Tool(Struct, kw_only=True):
    """A configured or wrapped program. `path`: null also if the program is wrapped. `sessions`: the last 100.
    `health`: present if it was requested."""

    name: str
    display_name: str
    description: str
    driver: str
    executable: str
    installed: bool
    path: str | None
    how_to_install: str | None
    login: Login
    status: str
    evidence: str
    pid: int | None
    capabilities: dict[str, float]
    sessions: list[BriefSession]
    health: Health | UnsetType = UNSET


class CheckedTool(Tool, kw_only=True):
    health: Health


class Tools(Struct):
    tools: list[Tool]


class Reported(Struct):
    """What a running program reports about itself. A member that it does not report is left out."""

    model: str = ""
    mode: str = ""
    models: list[str] = []
    modes: list[str] = []
    commands: list[str] = []
    tools: list[str] = []


class ToolCapabilities(Struct):
    """The capabilities of a program. `origins`: whether each one is declared or reported."""

    name: str
    static: dict[str, bool | float]
    dynamic: dict[str, float]
    capabilities: dict[str, float]
    origins: dict[str, str]
    reported: Reported
