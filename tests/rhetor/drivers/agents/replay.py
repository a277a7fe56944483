"""Recordings of real agents, replayed through a protocol, which must write the lines that were recorded.

A recording has a line for each thing that happened: `start` (how the protocol was opened), `do` (which method
was called), `in` (what the protocol wrote), `out` (what the agent wrote)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rhetor.codec.lines import Cut, Lines
from rhetor.domain.output import Late, Permission, Plain, Record, Text
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening

DATA = Path(__file__).parents[3] / "data" / "agents"
METHODS = {"say": "prompt", "open": "opening_lines"}  # as the recordings name them

Make = Callable[[Opening], AgentProtocol]


@dataclass
class Replayed:
    """The result of one process. `ends`: for each turn that ended, the class of its failure ("" for none)."""

    protocol: AgentProtocol
    outputs: list[Plain] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    written: list[Any] = field(default_factory=list)

    def write(self, lines: Iterable[bytes]) -> None:
        self.written += [msgspec.json.decode(line) for line in lines]

    def hear(self, line: bytes) -> Decoded:
        heard = self.protocol.decode(line)
        self.outputs += heard.outputs
        self.write(heard.writes)
        if heard.ended:
            self.ends.append("" if heard.failure is None else type(heard.failure).__name__)
        return heard

    def told(self) -> list[Any]:
        """All outputs except records, as plain values."""
        return [plain(output) for output in self.outputs if not isinstance(output, Record)]

    def answer(self) -> str:
        return "".join(o.text for o in self.outputs if isinstance(o, Text) and o.channel == "answer")


def plain(output: Plain) -> list[Any]:
    """Return an output as JSON values: its class, and its fields in order."""
    values = [getattr(output, name) for name in output.__struct_fields__]
    values = values[:-1] if isinstance(output, Permission) and not output.questions else values
    values = values[:-1] if isinstance(output, Late) and not output.turn else values
    kept: list[Any] = msgspec.json.decode(msgspec.json.encode([type(output).__name__, *values]))
    return kept


def entries(name: str) -> list[tuple[str, Any]]:
    """Return kind and message of each line; in a file of bare lines, all are `out`."""
    found = [msgspec.json.decode(line) for line in (DATA / name).read_bytes().splitlines()]
    return [(one["dir"], one["msg"]) if "dir" in one else ("out", one) for one in found]


def said_by(name: str) -> list[bytes]:
    """Return only the agent's lines."""
    return [msgspec.json.encode(message) for kind, message in entries(name) if kind == "out"]


def processes(make: Make, name: str, cwd: str) -> Iterator[Replayed]:
    """Replay each process of a recording, and compare what the protocol writes with the recording."""
    replayed: Replayed | None = None
    recorded: list[Any] = []
    for kind, message in entries(name):
        if kind == "start":
            if replayed is not None:
                yield _checked(replayed, recorded)
            replayed, recorded = Replayed(make(Opening(cwd, **message))), []
            replayed.write(replayed.protocol.opening_lines())
            continue
        assert replayed is not None
        if kind == "do":
            called, *arguments = message
            replayed.write(getattr(replayed.protocol, METHODS.get(called, called))(*arguments))
        elif kind == "in":
            recorded.append(message)
        else:
            replayed.hear(msgspec.json.encode(message))
    assert replayed is not None
    yield _checked(replayed, recorded)


def heard_in_pieces(protocol: AgentProtocol, data: bytes, cuts: Iterable[int]) -> Replayed:
    """Decode bytes that arrive in pieces, and start a new turn after each one that ended."""
    replayed = Replayed(protocol)
    replayed.write((*protocol.opening_lines(), *protocol.prompt("go on")))
    lines, ends = Lines(), sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    pieces = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    for line in [line for piece in pieces for line in lines.feed(piece)] + lines.finish():
        assert not isinstance(line, Cut)
        if replayed.hear(line).ended:
            replayed.write(protocol.prompt("go on"))
    return replayed


def _checked(replayed: Replayed, recorded: list[Any]) -> Replayed:
    assert replayed.written == recorded
    return replayed
