"""A store as plain lists, with which the state machine compares the real ones; simple and slow on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field

from rhetor.domain.event import (
    Folded,
    MessageAccepted,
    OutputDelta,
    OutputPartial,
    Payload,
    TurnCompleted,
    TurnEnd,
)
from rhetor.store.base import Draft


@dataclass
class Line:
    seq: int
    payload: Payload
    turn: str | None

    @property
    def prev(self) -> int:
        return self.payload.from_seq - 1 if isinstance(self.payload, Folded) else self.seq - 1


@dataclass
class Book:
    """One incarnation of a stream. `base`: the one that it continues, and up to which number."""

    epoch: str
    base: tuple[Book, int] | None = None
    head: int = 0
    earliest: int = 1
    lines: list[Line] = field(default_factory=list)
    texts: list[tuple[int, str, str, str]] = field(default_factory=list)  # seq, turn, role, text

    def append(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            self.head += 1
            self.lines.append(Line(self.head, draft.payload, draft.turn_id))
            match draft.payload:
                case MessageAccepted(role=role, content=text):
                    self.texts.append((self.head, draft.turn_id or "", role, text))
                case TurnCompleted(text=text) | OutputPartial(text=text):
                    self.texts.append((self.head, draft.turn_id or "", "assistant", text))

    def truncate(self, before: int) -> None:
        self.earliest = max(self.earliest, min(before, self.head + 1))
        self.lines = [line for line in self.lines if line.seq >= self.earliest]

    def outcome(self, after: int) -> str:
        if after > self.head:
            return "ahead"
        return "truncated" if after < self.earliest - 1 else "ok"

    def behind(self, after: int) -> list[tuple[int, int, Payload]]:
        return [(line.prev, line.seq, line.payload) for line in self.lines if line.seq > after]

    def fold(self, turn: str) -> int:
        end = self._end(turn)
        folded: list[Line] = []
        went = 0
        for line in self.lines:
            if line.seq > end or line.turn != turn or not isinstance(line.payload, OutputDelta):
                folded.append(line)
                continue
            went += 1
            before = folded[-1] if folded else None
            if (
                before
                and before.turn == turn
                and isinstance(before.payload, Folded)
                and before.seq == line.seq - 1
            ):
                folded[-1] = Line(line.seq, Folded(before.payload.from_seq, line.seq), turn)
            else:
                folded.append(Line(line.seq, Folded(line.seq, line.seq), turn))
        self.lines = folded
        return went

    def _end(self, turn: str) -> int:
        """Return the number of the turn's end if its text is kept elsewhere, otherwise 0."""
        kept = False
        for line in self.lines:
            if line.turn == turn:
                kept = kept or isinstance(line.payload, TurnCompleted | OutputPartial)
                if isinstance(line.payload, TurnEnd):
                    return line.seq if kept else 0
        return 0

    def said(self) -> list[tuple[str, str, str]]:
        """Return turn, role and text of all messages, including those of the bases."""
        before: list[tuple[str, str, str]] = []
        if self.base:
            book, last = self.base
            before = book.said_until(last)
        return before + [text[1:] for text in self.texts]

    def said_until(self, last: int) -> list[tuple[str, str, str]]:
        whole = self.said()
        return whole[: len(whole) - sum(1 for text in self.texts if text[0] > last)]

    def answered(self) -> list[tuple[str, str, str]]:
        messages = self.said()
        questions = {turn: (turn, role, text) for turn, role, text in messages if role != "assistant"}
        found = []
        for number, (turn, role, _) in enumerate(messages):
            earlier = any(t == turn and r == "assistant" for t, r, _ in messages[:number])
            if role == "assistant" and not earlier:
                last = [t for of, r, t in messages[number:] if (of, r) == (turn, "assistant")][-1]
                found += [questions[turn]] if turn in questions else []
                found.append((turn, role, last))
        return found
