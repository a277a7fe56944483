"""Lines of Codex for tests, and what its protocol makes of them."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.domain.output import Plain, Record
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.protocol import Decoded, Opening

THREAD = {"id": 2, "result": {"thread": {"id": "t1"}, "model": "m"}}


def protocol(**opening: Any) -> Codex:
    return Codex(Opening("/home/user", **opening))


def take(codex: Codex, **line: Any) -> Decoded:
    return codex.decode(msgspec.json.encode(line))


def tell(codex: Codex, method: str, **params: Any) -> Decoded:
    return take(codex, method=method, params={"threadId": "t1"} | params)


def started() -> Codex:
    """Return a protocol with an open conversation and a running turn."""
    codex = protocol()
    codex.opening_lines()
    take(codex, **THREAD)
    codex.prompt("hi")
    take(codex, id=3, result={"turn": {"id": "u1"}})
    tell(codex, "turn/started", turn={"id": "u1"})
    return codex


def meaning(heard: Decoded) -> list[Plain]:
    return [output for output in heard.outputs if not isinstance(output, Record)]


def sent(lines: tuple[bytes, ...]) -> list[Any]:
    return [msgspec.json.decode(line) for line in lines]
