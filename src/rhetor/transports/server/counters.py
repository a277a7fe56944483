"""Counters for each API: bytes sent and received, and errors that clients received.

An API is `rest`, `sse`, `mcp`, `socketio`, or a WebSocket's path without its names (`ws.ai`). There are no
counters for single peers or clients.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from rhetor import errors

REST, SSE = "rest", "sse"
OTHER = "other"


class Traffic(Struct):
    """Bytes of an API since the hub started: bodies of requests and responses, or frames of WebSockets."""

    received: int = 0
    sent: int = 0


def _codes(kind: type[errors.RhetorError]) -> set[str]:
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


CODES = frozenset(_codes(errors.RhetorError))


@dataclass(slots=True, eq=False, repr=False)
class Tally:
    """The counters of all APIs. `errors`: how often clients received an error, by API and code; `closed`: how
    many open connections the hub ended because of it."""

    traffic: defaultdict[str, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    closed: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """The bytes received and sent through all APIs."""
        return sum(traffic.received + traffic.sent for traffic in self.traffic.values())

    def fault(self, api: str, code: str) -> None:
        self.errors[api, _known(code)] += 1

    def end(self, api: str, code: str) -> None:
        """Count an open connection that the hub ends with this error; it counts as an error too."""
        self.closed[api, _known(code)] += 1
        self.fault(api, code)


def _known(code: str) -> str:
    """Return the code, or `other` if it is not one of ours: a peer's program may send any code."""
    return code if code in CODES else OTHER


def api_of(scope: MutableMapping[str, Any]) -> str:
    """Return the API of a request. For a WebSocket that has not reached a route yet, it is `ws`."""
    api: str = scope["state"].get("api") or ("ws" if scope["type"] == "websocket" else REST)
    return api
