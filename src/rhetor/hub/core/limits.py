"""Limits that the configuration sets and the hub's use cases apply."""

from __future__ import annotations

import msgspec


class CheckpointLimits(msgspec.Struct, frozen=True):
    """Which checkpoints are made and kept.

    `per_turn`: one is made before each turn of a session with a folder. `keep`: how many without a name a
    session has at most. `max_age_days`: how long those are kept. `max_bytes`: what the files of all
    checkpoints may take on the disk.
    """

    per_turn: bool = False
    keep: int = 50
    max_age_days: float = 30
    max_bytes: int = 2 << 30


class Retention(msgspec.Struct, frozen=True):
    """Which events are kept. None: all.

    `max_age_days`: how long. `max_bytes`: what the database may take.
    """

    max_age_days: float | None = None
    max_bytes: int | None = None


class Limits(msgspec.Struct, frozen=True):
    """Limits of one hub. Times are in seconds.

    `session_ttl`: how long an unused session is kept. `context_window`: how many earlier messages a model
    receives. `message_bytes`: the maximum size of a message in UTF-8. `hops`: how many peers a message may
    pass through. `fanout`: how often forwards and teams deliver one message and what follows from it.
    `abandon_after`: how long a turn continues after its last reader has disconnected.
    `permission_seconds`: how long a permission request waits for an answer. `detach_ttl`: how long an
    interactive session outlives its last connection. `default_peer`: the peer of sessions that name none.
    `project_roots`: the folders in which projects may be. `on_pause`: what follows if a peer's usage limit is
    reached. `checkpoints`: which are made and kept. `retention`: which events are kept. `turns_at_once` and
    `tokens_per_hour`: of one caller. `audit_messages`: the audit has an entry for each message.
    `blob_bytes`: of all binary content of one caller.
    """

    session_ttl: float = 3600.0
    context_window: int = 10
    message_bytes: int = 1 << 20
    hops: int = 8
    fanout: int = 100
    abandon_after: float = 5.0
    permission_seconds: float = 600.0
    detach_ttl: float = 60.0
    default_peer: str = "numa"
    project_roots: tuple[str, ...] = ("~",)
    on_pause: str = "ask"
    checkpoints: CheckpointLimits = CheckpointLimits()
    retention: Retention = Retention()
    turns_at_once: int = 200
    tokens_per_hour: int | None = None
    audit_messages: bool = False
    blob_bytes: int | None = 1 << 30


class Upkeep(msgspec.Struct):
    """When the checkpoints and the events of one hub were last looked through. Times are on `time.monotonic`.

    `swept`: for those that are too old. `shrunk`: because their files took too much. `removed`: some were
    removed, or an earlier hub may have, and nobody has looked since for content that none has. `told`: of
    which sessions the readers know that a setting removes checkpoints. `retained`: for old events.
    """

    swept: float = float("-inf")
    shrunk: float = float("-inf")
    removed: bool = True
    retained: float = float("-inf")
    told: set[tuple[str, str]] = msgspec.field(default_factory=set)
