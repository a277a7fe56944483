"""What went through each API, in plain numbers: bytes, and which errors clients received.

An API is `rest`, `sse`, or a WebSocket's path without its names (`ws.ai`). No peer and no client has a
counter of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from rhetor import errors

REST, SSE = "rest", "sse"
OTHER = "other"


@dataclass(slots=True)
class Traffic:
    """Bytes of an API since the start: bodies of requests and answers, or frames of WebSockets."""

    received: int = 0
    sent: int = 0


def _codes(kind: type[errors.RhetorError]) -> set[str]:
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


CODES = frozenset(_codes(errors.RhetorError))


@dataclass(slots=True)
class Tally:
    """`errors`: how often clients received an error, by API and code; `closed`: how many open connections the
    hub ended because of it."""

    traffic: defaultdict[str, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    closed: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fault(self, api: str, code: str) -> None:
        self.errors[api, _known(code)] += 1

    def end(self, api: str, code: str) -> None:
        """Count an open connection that the hub ends with this error; it counts as an error too."""
        self.closed[api, _known(code)] += 1
        self.fault(api, code)


def _known(code: str) -> str:
    """A peer's program may send any code; those that are not ours count together."""
    return code if code in CODES else OTHER


def api_of(scope: MutableMapping[str, Any]) -> str:
    """The API of a request; that of a WebSocket is known by its path once it has reached a route."""
    api: str = scope["state"].get("api") or ("ws" if scope["type"] == "websocket" else REST)
    return api
