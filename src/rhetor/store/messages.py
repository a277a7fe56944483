"""Messages of conversations, and the folding of answers: pure functions that all stores share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import (
    Event,
    Folded,
    MessageAccepted,
    OutputDelta,
    OutputPartial,
    Payload,
    Position,
    TurnCompleted,
    TurnEnd,
    TurnStarted,
    UsageReported,
)
from rhetor.domain.given_text import named
from rhetor.domain.prefaces import without_prefaces

from .base import MOST_PREFACE, Record, Spoken

ASSISTANT = "assistant"
MOST_BEGINNING = 200  # characters


class _Turn(msgspec.Struct):
    peer: str = ""


_turn = msgspec.json.Decoder(_Turn).decode


def peer_of(doc: bytes) -> str:
    """Return the peer that the document of a row of kind `turn` names; empty if it names none."""
    return _turn(doc).peer


def said(payload: Payload) -> tuple[str, str] | None:
    """Return the role and the text if the payload is a message of the conversation, else None. If an answer
    has only calls of tools, the text names them."""
    match payload:
        case MessageAccepted(role=role, content=content):
            return role, content
        case TurnCompleted(text=text, called=called):
            return ASSISTANT, named("Call", called) if called and not text.strip() else text
        case OutputPartial(text=text) if text:
            return ASSISTANT, text
    return None


def model_of(payloads: Iterable[Payload]) -> str | None:
    """Return the model of a turn: the last one that it reported or, if it reported none, the one that it was
    started with; None if neither is known. `payloads`: its events in order."""
    started, reported = None, None
    for payload in payloads:
        if isinstance(payload, TurnStarted):
            started = payload.model or started
        elif isinstance(payload, UsageReported):
            reported = payload.model or reported
    return reported or started


def is_model(found: str | None, wanted: str) -> bool:
    """Whether both name the same model. One of them may lack the provider, as in `openai/gpt-5`."""
    if found is None:
        return False
    if "/" in found and "/" in wanted:
        return found == wanted
    return found.rpartition("/")[2] == wanted.rpartition("/")[2]


def cost_of(reports: Iterable[UsageReported]) -> tuple[Decimal | None, bool]:
    """Return the sum of the costs, None if none is known, and whether all are known."""
    costs = [report.cost for report in reports]
    known = [Decimal(cost) for cost in costs if cost is not None]
    return (sum(known, Decimal(0)) if known else None), len(known) == len(costs)


def beginning(text: str) -> str:
    """Return the beginning of a text, on one line, without what a coding agent puts before it."""
    said = without_prefaces(text[:MOST_PREFACE]) if text.startswith("<") else text
    return " ".join(said[: 2 * MOST_BEGINNING].split())[:MOST_BEGINNING]


def last_spoken(backwards: Iterable[Spoken], limit: int, *, answered: bool) -> Sequence[Spoken]:
    """Return the last `limit` messages, oldest first. `backwards`: the messages, newest first.

    No more of `backwards` is read than needed. `answered`: as in `Log.spoken`.
    """
    if limit <= 0:
        return []
    if answered:
        return _answered(backwards, limit)
    messages: list[Spoken] = []
    for spoken in backwards:
        messages.append(spoken)
        if len(messages) == limit:
            break
    return messages[::-1]


def _answered(backwards: Iterable[Spoken], limit: int) -> Sequence[Spoken]:
    turns: dict[str, list[Spoken]] = {}  # newest answer first; each turn: its answer, then its question
    whole = 0  # the number of turns, from the newest, that have their question
    for spoken in backwards:
        turn = turns.get(spoken.turn_id)
        if spoken.role == ASSISTANT:
            # of a turn that was answered again, or got late text, the last answer takes the first one's place
            turns[spoken.turn_id] = turns.pop(spoken.turn_id, [spoken])
        elif turn is not None and len(turn) == 1:
            turn.append(spoken)
            whole = _whole(turns)
            if 2 * whole >= limit:
                break
    messages = [spoken for turn in turns.values() for spoken in turn]
    return messages[:limit][::-1]


def _whole(turns: dict[str, list[Spoken]]) -> int:
    for count, turn in enumerate(turns.values()):
        if len(turn) == 1:
            return count
    return len(turns)


def folded(turn: Iterable[Event]) -> list[Event]:
    """Return the events that replace runs of adjacent answer chunks of a turn. `turn`: its events in order.

    The result is empty if the turn is still running, or if no event has its whole or partial answer.
    Reasoning and stderr are not folded, because no other event has their text.
    """
    runs: list[Event] = []
    kept = False
    for event in turn:
        kept = kept or isinstance(event.payload, TurnCompleted | OutputPartial)
        if isinstance(event.payload, TurnEnd):
            return runs if kept else []
        if isinstance(event.payload, OutputDelta) and event.payload.channel == "answer":
            _join(runs, event)
    return []


def _join(runs: list[Event], chunk: Event) -> None:
    first = chunk.seq
    if runs and runs[-1].seq == chunk.seq - 1 and runs[-1].step == chunk.step:
        last = runs.pop().payload
        assert isinstance(last, Folded)
        first = last.from_seq
    position = Position(chunk.position.epoch, chunk.seq)
    runs.append(Event(chunk.stream, position, chunk.at, Folded(first, chunk.seq), chunk.turn_id, chunk.step))


def chunks(folds: Iterable[Event]) -> int:
    """Return the number of events that the folds replace."""
    return sum(event.seq - event.prev for event in folds)


def clipped(fold: Event, earliest: int) -> Record:
    """Return the record of a fold without the events that were truncated in the meantime."""
    return Record.of(replace(fold, payload=Folded(max(fold.prev + 1, earliest), fold.seq)))
