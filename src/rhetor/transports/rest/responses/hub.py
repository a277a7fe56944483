"""The hub itself."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from .common import Time


class Capabilities(Struct):
    """What the hub offers. `capabilities`: the peers that have each capability, best first."""

    version: str
    doors: list[str]
    features: list[str]
    capabilities: dict[str, list[str]]


class WhoAmI(Struct):
    """The caller. `ai`: the peer whose program the caller is; null for a person. `address`: where the request
    comes from. `credential`: what the caller has proved its identity with."""

    subject: str
    scopes: list[str]
    ai: str | None
    address: str
    credential: str


class UnusableModel(Struct):
    """A model that a setting names. `unknown`: its provider does not have it; otherwise the provider or the
    agent is not available."""

    setting: str
    model: str
    detail: str
    hint: str
    unknown: bool


class Certificate(Struct):
    """The certificate of the TCP listener. `expires_soon`: in less than two weeks. `detail`: why it is
    invalid."""

    state: Literal["valid", "expires_soon", "expired", "invalid"]
    expires: Time | None
    detail: str | None


class ScheduleCounts(Struct):
    """The caller's schedules. `next_at`: the time of the next run. `starts_again`: the hub was not started by
    a shell, so that whatever started it can start it again after a restart of the machine."""

    active: int
    paused: int
    next_at: Time | None
    starts_again: bool


class NodeHealth(Struct):
    """A node that shares the database, or has. `live`: it has a lease. `leads`: it does what only one
    node may do. `own`: it is this hub. `sessions`: how many sessions and plans it owns. `refused_writes`: so
    many of its writes came after another node had taken over; none of them was stored."""

    name: str
    address: str
    live: bool
    leads: bool
    own: bool
    sessions: int
    refused_writes: int


class HubStatus(Struct):
    """The status of the hub. Without the scope admin, `pid`, `home` and `nodes` are null, `sockets` and
    `models` are empty, and `running` counts the caller's own turns. `nodes` is also null if the log is in a
    file."""

    version: str
    pid: int | None
    started_at: Time
    home: str | None
    sockets: list[str]
    url: str
    peers: int
    sessions: int
    running: int
    provider: dict[str, Any]
    models: list[UnusableModel]
    schedules: ScheduleCounts
    certificate: Certificate | None
    nodes: list[NodeHealth] | None


class DataKey(Struct):
    """A key of stored content. `retired_at`: when another one replaced it; None if it was not replaced.
    `in_use`: values in the database are sealed with it."""

    id: str
    created_at: Time
    retired_at: Time | None
    in_use: bool


class DataKeys(Struct):
    """The keys, the oldest first. `at_rest`: all content is sealed. `renewing`: what has retired keys is
    being sealed again. `unreadable`: values that could not be opened, in the last run of that."""

    at_rest: bool
    renewing: bool
    unreadable: int
    keys: list[DataKey]


class DataKeyRotated(Struct):
    """The new key."""

    id: str


class Fingerprint(Struct):
    fingerprint: str


class PromptLines(Struct):
    """The history of the shell's prompt, oldest first. `sealed`: whether the hub keeps it."""

    sealed: bool
    lines: list[str]


class PromptKept(Struct):
    sealed: bool


class Reloaded(Struct):
    """The settings that have changed. `changed`: those in effect now; `needs_restart`: those that take effect
    when the hub starts again."""

    changed: list[str]
    needs_restart: list[str]


class HealthProblem(Struct):
    """Something that needs attention. `hint`: what to do; may be empty."""

    code: Literal["certificate", "stuck", "model"]
    detail: str
    hint: str


class TurnCounts(Struct):
    """`waiting`: for a person, or a client. `queued`: accepted, and not started."""

    running: int
    waiting: int
    queued: int


class HubProcess(Struct):
    """`memory`: resident bytes. `cpu_seconds`: since the hub started. Unknown values are null."""

    pid: int
    memory: int | None
    cpu_seconds: float
    descriptors: int | None
    tasks: int


class StoreHealth(Struct):
    """`bytes`: of the database. `free_bytes`: on its disk. `events`: appended since the hub started;
    `events_per_second`: the mean of the last minute. `commit_seconds`: how long a commit took on average."""

    bytes: int
    free_bytes: int | None
    events: int
    events_per_second: float
    commit_seconds: float | None
    oldest_event_at: Time | None


class Followers(Struct):
    """Subscribers of streams. `behind`: those that have not received all events; `most_behind`: by how many
    events one is."""

    count: int
    behind: int
    most_behind: int


class LastBackup(Struct):
    at: Time
    file: str


class Health(Struct):
    """How the hub is. What concerns all callers is null for one without the scope `admin`; such a caller sees
    its own turns, sessions and connections. `uptime`: in seconds. `connections`: open WebSockets and event
    streams by API. `last_backup`: the last one that was begun while the hub ran. `nodes`:
    null if the log is in a file."""

    status: Literal["ok", "attention"]
    problems: list[HealthProblem]
    version: str
    started_at: Time
    uptime: float
    turns: TurnCounts
    sessions: int
    connections: dict[str, int]
    certificate: Certificate | None
    process: HubProcess | None
    store: StoreHealth | None
    followers: Followers | None
    programs: int | None
    last_backup: LastBackup | None
    nodes: list[NodeHealth] | None
