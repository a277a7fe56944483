"""The limits that the hub's use cases apply; the configuration sets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds.

    `session_ttl`: unused sessions expire after it. `context_window`: earlier messages that a model is given.
    `message_bytes`: of UTF-8. `hops`: peers that a message may pass through. `abandon_after`: how long a turn
    runs on when its last reader has gone. `permission_seconds`: how long a permission request waits for an
    answer. `detach_ttl`: how long a session in the interactive loop outlives its last connection.
    `default_peer`: the peer of sessions that name none.
    """

    session_ttl: float = 3600.0
    context_window: int = 10
    message_bytes: int = 1 << 20
    hops: int = 8
    abandon_after: float = 5.0
    permission_seconds: float = 600.0
    detach_ttl: float = 60.0
    default_peer: str = "numa"
