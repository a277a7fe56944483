"""Projects, MCP servers, budgets and the recipients of notifications."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from .analytics import UsageTotal
from .common import Time
from .peers import BriefSession


class Rules(Struct):
    allow: list[str]
    ask: list[str]
    deny: list[str]


class ProjectSettings(Struct):
    default_peer: str | None
    model: str | None
    permissions: Rules
    mcp_servers: list[str]


class ProjectSession(BriefSession):
    specialist_id: str


class Project(Struct):
    """A project. `sessions`: its last 100."""

    id: str
    name: str
    path: str
    settings: ProjectSettings
    sessions: list[ProjectSession]
    created_at: Time


class UsedProject(Project):
    usage: UsageTotal


class Projects(Struct):
    projects: list[Project]


class ToolServer(Struct):
    """An MCP server. The values in `env` are masked, as are secrets in `command` and `url`. `source`:
    `configuration` if it can be changed only there."""

    name: str
    transport: Literal["stdio", "http"]
    command: list[str] | None
    url: str | None
    env: dict[str, str]
    allow_private: bool
    approve: list[str] | Literal["all"]
    source: Literal["api", "configuration"]


class ToolServers(Struct):
    mcp_servers: list[ToolServer]


class ToolServerRemoved(Struct):
    name: str
    status: str


class ToolServerTested(Struct):
    """The result of a test. `seconds`: how long it took."""

    ok: bool
    tools: list[str]
    seconds: float
    error: str | UnsetType = UNSET
    hint: str | UnsetType | None = UNSET


class Fallback(Struct):
    fallback: str


class BudgetLimit(Struct):
    """One limit in its current period. `value`, `spent`, `reserved`: a number of tokens, or USD as a decimal
    string. `share`: of the limit that is spent. `unpriced_turns`: turns in the period whose price is
    unknown."""

    limit: Literal["usd_per_day", "usd_per_month", "tokens_per_day"]
    value: int | str
    spent: int | str
    reserved: int | str
    share: float
    period: Literal["day", "month"]
    starts_at: Time
    resets_at: Time
    unpriced_turns: int


class Budget(Struct):
    """A budget. `source`: `api` if it was set over the API or at a limit, else `configuration`. `note`: what
    its limits do not count."""

    name: str
    usd_per_day: str | None
    usd_per_month: str | None
    tokens_per_day: int | None
    on_limit: Literal["ask"] | Fallback
    source: Literal["api", "configuration"]
    limits: list[BudgetLimit]
    note: str | None


class Budgets(Struct):
    budgets: list[Budget]


class BudgetRemoved(Struct):
    """A budget that was removed. `configured`: the one that is in force instead."""

    name: str
    status: str
    configured: Budget | None


class Recipient(Struct):
    """A recipient of notifications. `ok`: the last attempt did not fail. `detail`: why it did, or why every
    attempt will. `waiting`: how many are not delivered yet; `failing`: for how many of them an attempt has
    failed."""

    name: str
    kind: Literal["webhook", "command", "ntfy", "desktop"]
    on: list[str]
    after: float
    ok: bool
    waiting: int
    failing: int
    detail: str | None
    hint: str | None


class Recipients(Struct):
    notify: list[Recipient]


class NotifyResult(Struct):
    """The result of a test. `seconds`: how long it took."""

    name: str
    kind: Literal["webhook", "command", "ntfy", "desktop"]
    ok: bool
    seconds: float
    error: str | None
    hint: str | None


class NotifyTested(Struct):
    notify: list[NotifyResult]
