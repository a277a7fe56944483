"""What turns used: sums by day, peer, model, project and caller, made from events one after the other.

A turn counts when it has ended, once: on that day, and for the model that it used last. Its tokens and cost
count when they are reported, for each model, whether or not the turn is answered. A price that is unknown is
counted, never taken as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import get_args

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from .event import Cause, Event, Payload, TurnCompleted, TurnEnd, TurnStarted, UsageReported

COUNTED: tuple[str, ...] = tuple(each.type for each in (TurnStarted, UsageReported, *get_args(TurnEnd)))
MOST_ENDED = 1_000  # turns that are remembered after their end, in case they report more
_ENDS = frozenset(get_args(TurnEnd))
_EXACT = Context(prec=1_000)
_MILLISECONDS_PER_DAY = 86_400_000


class Source(Struct, frozen=True, gc=False):
    """Whose usage it is. `project`: empty if there is none. `session`: the id of the session; empty in a
    plan. `once`: the session was opened for a single message."""

    peer: str
    caller: str
    project: str = ""
    session: str = ""
    once: bool = False

    def caused_by(self, cause: Cause | None) -> Source:
        """Return whose usage it is if it follows from a message that somebody else sent in a project."""
        if cause is None:
            return self
        caller, project = cause.caller or self.caller, self.project or cause.project or ""
        return replace(self, caller=caller, project=project)

    def cell(self, day: str, model: str) -> Cell:
        """Return what this usage of a model on a day is summed up under."""
        return Cell(day, self.peer, model, self.project, self.caller)


class Cell(Struct, frozen=True, gc=False, array_like=True):
    """What sums are kept for. `day`: in UTC, as `2026-11-30`. `model`, `project`: empty if unknown."""

    day: str
    peer: str
    model: str
    project: str
    caller: str

    @property
    def id(self) -> str:
        """The cell as text, which `parse` reads."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, id: str | bytes) -> Cell:
        return _cell(id)


_cell = msgspec.json.Decoder(Cell).decode


class Amounts(Struct, frozen=True, gc=False, array_like=True):
    """Sums over turns and their reports.

    `turns`: those that ended. `unpriced`: those that reported tokens whose price is unknown; a report outside
    of a turn counts as one. `unreported`: those that reported nothing. `once`: sessions for a single message.
    `priced`: reports with a price. `cost`: of those, in USD.
    """

    turns: int = 0
    unpriced: int = 0
    unreported: int = 0
    once: int = 0
    priced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, more: Amounts) -> Amounts:
        return Amounts(
            self.turns + more.turns,
            self.unpriced + more.unpriced,
            self.unreported + more.unreported,
            self.once + more.once,
            self.priced + more.priced,
            self.input_tokens + more.input_tokens,
            self.output_tokens + more.output_tokens,
            _EXACT.add(self.cost, more.cost),
        )

    def with_turn(self, *, unreported: bool, once: bool) -> Amounts:
        """Return the sums with one more turn that has ended."""
        return replace(
            self,
            turns=self.turns + 1,
            unreported=self.unreported + unreported,
            once=self.once + once,
        )

    @property
    def known_cost(self) -> str | None:
        """USD as a decimal string; None if nothing has a price."""
        return format(self.cost, "f") if self.priced else None


_NOTHING = Amounts()


class TurnUsage(Struct, frozen=True, gc=False):
    """What is known of a turn so far. `started`: it is running. `model`: the last one that it reported.
    `unpriced`: it has reported tokens without a price. `silent`: the day on which it ended, if it had
    reported nothing. `guest`: the peer that it was passed on to, whose usage it is from then on."""

    started: bool = False
    reported: bool = False
    unpriced: bool = False
    model: str = ""
    silent: str = ""
    guest: str = ""


class Counted(Struct):
    """What some events of a turn add to the sums. `sessions`: the cells in which the turn's session has had a
    turn. `turn`: the turn after these events; None if nothing more of it needs to be known."""

    amounts: dict[Cell, Amounts] = msgspec.field(default_factory=dict)
    sessions: list[Cell] = msgspec.field(default_factory=list)
    turn: TurnUsage | None = None

    def add(self, cell: Cell, amounts: Amounts) -> None:
        known = self.amounts.get(cell)
        self.amounts[cell] = amounts if known is None else known + amounts


def count(source: Source, turn: TurnUsage, payloads: Iterable[Payload], day: str) -> Counted:
    """Return what the payloads of a turn add on a day. `turn`: what was known of it before."""
    counted = Counted(turn=turn)
    for payload in payloads:
        known = counted.turn or TurnUsage()
        if known.guest:
            source = replace(source, peer=known.guest)
        if type(payload) is UsageReported:
            cell, price = source.cell(day, payload.model or ""), _price(payload.cost)
            if known.silent:  # it reports after its end
                counted.add(source.cell(known.silent, ""), Amounts(unreported=-1))
            is_first = price is None and not known.unpriced
            counted.add(cell, _reported(payload, price, unpriced=is_first))
            unpriced = known.unpriced or price is None
            counted.turn = TurnUsage(known.started, True, unpriced, cell.model, guest=known.guest)
        elif type(payload) is TurnStarted:
            counted.turn = _started(known, payload)
        elif known.started and type(payload) in _ENDS:
            cell, reported = source.cell(day, known.model), known.reported
            before = counted.amounts.get(cell, _NOTHING)
            counted.amounts[cell] = before.with_turn(unreported=not reported, once=source.once)
            if source.session and not source.once:
                counted.sessions.append(cell)
            # a turn that was answered has reported everything
            ended = replace(known, started=False, silent="" if reported else day)
            counted.turn = None if type(payload) is TurnCompleted else ended
    return counted


def _started(turn: TurnUsage, payload: TurnStarted) -> TurnUsage:
    """Return the turn when it has started, or was passed on to another peer."""
    if payload.instead_of is UNSET:
        return replace(turn, started=True)
    return replace(turn, started=True, guest=payload.peer, model="")


def _reported(report: UsageReported, price: Decimal | None, *, unpriced: bool) -> Amounts:
    return Amounts(
        unpriced=int(unpriced),
        priced=int(price is not None),
        input_tokens=report.input_tokens,
        output_tokens=report.output_tokens,
        cost=price or Decimal(0),
    )


def _price(cost: str | None) -> Decimal | None:
    """Return the price in USD; None if it is unknown."""
    if cost is None:
        return None
    price = Decimal(cost)
    return price if price.is_finite() and price >= 0 else None


class Turns:
    """What is known of the turns that are running, and of the last ones that ended without an answer, because
    their programs may report usage later."""

    def __init__(self) -> None:
        self._known: dict[str, TurnUsage] = {}

    def get(self, turn_id: str | None) -> TurnUsage:
        return self._known.get(turn_id or "", TurnUsage())

    def put(self, turn_id: str | None, turn: TurnUsage | None) -> None:
        if turn_id is None or turn is None or not (turn.started or turn.unpriced or turn.silent):
            self._known.pop(turn_id or "", None)
            return
        self._known[turn_id] = turn
        if len(self._known) > MOST_ENDED and not turn.started:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        ended = next((id for id, turn in self._known.items() if not turn.started), None)
        if ended is not None:
            del self._known[ended]


def fold(
    events: Iterable[Event],
    source_of: Callable[[Event], Source],
    turns: Turns,
    amounts: dict[Cell, Amounts],
    sessions: dict[tuple[str, Cell], None],
) -> None:
    """Add what the events used. `turns`, `amounts` and `sessions` are what earlier events gave, and are
    changed."""
    for event in events:
        source = source_of(event)
        counted = count(source, turns.get(event.turn_id), (event.payload,), day_of(event.at))
        for cell, more in counted.amounts.items():
            known = amounts.get(cell)
            amounts[cell] = more if known is None else known + more
        for cell in counted.sessions:
            sessions[source.session, cell] = None
        turns.put(event.turn_id, counted.turn)


def day_of(at: int) -> str:
    """Return the day in UTC. `at`: Unix time in milliseconds."""
    return _day(at // _MILLISECONDS_PER_DAY)


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


@lru_cache(maxsize=1024)
def start_of(day: str) -> int:
    """Return the beginning of a day in UTC, as Unix time in milliseconds."""
    begin = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return int(begin.timestamp()) * 1000
