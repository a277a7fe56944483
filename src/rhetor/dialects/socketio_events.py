"""The events of a session as a Socket.IO client sees them: `claude-output:{session_id}` and four others, and
the hub's own events unchanged.

The output of Claude Code is its own lines. For other peers, `stream_json` makes such lines. The text of an
answer is collected, and sent as one line when something else follows it. The number of that line is that of
the last event with a part of the text, so what follows a cursor depends only on the cursor and the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from rhetor.codec import socketio
from rhetor.codec.engineio import SEPARATOR
from rhetor.codec.typed_json import nothing, starts_with
from rhetor.domain import event as ev
from rhetor.domain.timestamps import timestamp
from rhetor.store.base import Record

from . import raw, stream_json
from .socketio import COMPLETE, ERROR, OUTPUT, RAW, STATUS, TOOL, Filter
from .socketio_turn import Asked, Call, ShownTurn, Text

Shown = tuple[str, dict[str, Any]]
_COLLECTED = ("answer", "reasoning")


class _Record(Struct):
    record: Raw = msgspec.field(default_factory=nothing)
    raw: str | None = None
    encoding: str | None = None


class SessionView(Struct):
    """A session for one subscription.

    `label`: the session as the client names it; `seen`: the number that the client resumes from; `prev`: the
    number of the last frame that it has, and `before` the one of the frame before that.
    """

    label: str
    filter: Filter
    is_claude: bool
    seen: int
    prev: int
    before: int = 0
    turn: ShownTurn | None = None
    text: Text | None = None
    is_over: bool = False

    def prime(self, record: Record) -> None:
        """Note an event that the client has, of the turn within which it resumes."""
        prev, before = self.prev, self.before
        self.encode(record)
        self.prev, self.before = prev, before

    def encode(self, record: Record) -> bytes:
        """Return the packets for the event, each of which ends with a separator."""
        if record.type == ev.AgentRecord.type:
            return self._agent_record(record)
        payload = record.event.payload
        if isinstance(payload, ev.OutputDelta) and payload.channel in _COLLECTED and record.turn_id:
            return self._delta(record, record.turn_id, payload)
        if isinstance(payload, ev.Folded):
            self._note_answer(record, 0)
        shown = [(name, body) for name, body in self._shown(record, payload) if name in self.filter.names]
        is_raw = record.type in self.filter.types
        text = self._text_before(record, payload) if shown or is_raw else b""
        if isinstance(payload, ev.TurnEnd) and self._is_current(record):
            self.turn = None
        return text + self._frames(record, shown, is_raw=is_raw)

    def _frames(self, record: Record, shown: list[Shown], *, is_raw: bool) -> bytes:
        if not shown and not is_raw:
            return b""
        prev = self._begin(record.seq)
        place = _place(record, record.seq, prev)
        packets = [self._packet(name, _with_place(msgspec.json.encode(body), place)) for name, body in shown]
        return (self._raw(record, prev) if is_raw else b"") + b"".join(packets)

    def _begin(self, number: int) -> int:
        """Note that frames with this number are sent, and return their `prev`."""
        if number != self.prev:
            self.before, self.prev = self.prev, number
        return self.before

    def _packet(self, name: str, body: bytes) -> bytes:
        return socketio.event(f"{name}:{self.label}", body) + SEPARATOR

    def _raw(self, record: Record, prev: int) -> bytes:
        key = f"socketio.raw.{self.label}.{prev}"
        if (known := record.frames.get(key)) is None:
            known = record.frames[key] = self._packet(RAW, raw.encode(record, prev))
        return known

    def _agent_record(self, record: Record) -> bytes:
        is_raw, is_shown = record.type in self.filter.types, self._has_lines and OUTPUT in self.filter.names
        if not is_raw and not is_shown:
            return b""
        text = self._flush(record)
        prev = self._begin(record.seq)
        frames = self._raw(record, prev) if is_raw else b""
        return text + frames + (self._line(record, prev) if is_shown else b"")

    def _line(self, record: Record, prev: int) -> bytes:
        """Return the frame of a line of Claude Code: its object, with the place of the event."""
        key = f"socketio.line.{self.label}.{prev}"
        if (known := record.frames.get(key)) is None:
            body = _with_place(_object(record.data), _place(record, record.seq, prev))
            known = record.frames[key] = self._packet(OUTPUT, body)
        return known

    def _delta(self, record: Record, turn_id: str, delta: ev.OutputDelta) -> bytes:
        frames = b""
        if self._makes_lines:
            if self.text is None or not self.text.continues(turn_id, delta.channel):
                frames = self._flush(record)
                self.text = Text(
                    turn_id, delta.channel, record.seq, record.seq, record.at, (None, delta.text)
                )
            else:
                self.text = self.text.added(record.seq, record.at, delta.text)
            self._note_answer(record, len(delta.text) if delta.channel == "answer" else 0)
        if record.type in self.filter.types:
            frames += self._raw(record, self._begin(record.seq))
        return frames

    def _note_answer(self, record: Record, characters: int) -> None:
        turn = self._turn(record)
        self.turn = replace(turn, told=turn.told + characters, last=record.seq)

    @property
    def _has_lines(self) -> bool:
        """Whether the peer's own lines are passed on: those of another peer that answers a turn are not."""
        return self.is_claude and not (self.turn is not None and self.turn.is_guests)

    @property
    def _makes_lines(self) -> bool:
        return not self._has_lines and OUTPUT in self.filter.names

    def _text_before(self, record: Record, payload: ev.Payload) -> bytes:
        """Return the frame of the text that comes before this event. If the events did not have all of the
        answer, because they were folded, it is the whole answer."""
        if not isinstance(payload, ev.TurnCompleted | ev.OutputPartial) or not self._makes_lines:
            return self._flush(record)
        turn = self._turn(record)
        if turn.told == len(payload.text):
            return self._flush(record)
        thought = self._flush(record) if self.text is not None and self.text.channel == "reasoning" else b""
        self.text = None
        number = turn.last if turn.last > self.prev else record.seq - 1
        if 0 < turn.last <= self.seen or number <= self.prev:
            return thought  # the client has it, or its number is taken; `result` has the text, too
        block = stream_json.text_block(payload.text)
        return thought + self._assistant(record, number, record.at, turn, block, whole=True)

    def _flush(self, record: Record) -> bytes:
        """Return the frame of the collected text, if there is any that the client does not have."""
        text, self.text = self.text, None
        if text is None or text.last <= self.seen:
            return b""
        make = stream_json.thinking_block if text.channel == "reasoning" else stream_json.text_block
        turn = self.turn or ShownTurn(text.turn_id)
        return self._assistant(record, text.last, text.at, turn, make(text.whole))

    def _assistant(
        self,
        record: Record,
        number: int,
        at: int,
        turn: ShownTurn,
        block: dict[str, Any],
        *,
        whole: bool = False,
    ) -> bytes:
        """Return the frame of a part of an answer. `whole`: it replaces the earlier parts."""
        id = f"msg_{turn.id}_{number}"
        line = stream_json.assistant(record.stream, id, turn.model, [block])
        if whole:
            line["whole"] = True
        place = _place(record, number, self._begin(number), at)
        return self._packet(OUTPUT, _with_place(msgspec.json.encode(line), place))

    def _is_current(self, record: Record) -> bool:
        return self.turn is not None and self.turn.id == record.turn_id

    def _turn(self, record: Record) -> ShownTurn:
        """Return what is known of the turn of an event."""
        known = self.turn
        return known if known is not None and known.id == record.turn_id else ShownTurn(record.turn_id or "")

    def _shown(self, record: Record, payload: ev.Payload) -> Iterator[Shown]:
        """Yield the events that show this one, and note what later ones need to know."""
        match payload:
            case ev.TurnStarted(peer, model, instead_of):
                is_guests = instead_of is not UNSET
                self.turn = ShownTurn(record.turn_id or "", model or peer, is_guests=is_guests)
                yield from self._output(stream_json.init(record.stream, peer, model))
                yield _status("active", record.turn_id)
            case ev.OutputDelta(text, "stderr"):
                yield ERROR, {"message": text, "code": "stderr", "retryable": False}
            case ev.OutputDelta(text):  # without a message that asked for it
                id, block = f"msg_{record.stream}_{record.seq}", stream_json.text_block(text)
                yield from self._output(
                    stream_json.assistant(record.stream, id, self._turn(record).model, [block])
                )
            case ev.ToolCalled() | ev.ToolReturned():
                yield from self._tool(record, payload)
            case ev.PermissionAsked() | ev.PermissionAnswered():
                yield from self._permission(record, payload)
            case ev.SessionStateChanged(state):
                yield _status(state, None)
            case ev.TurnCompleted() | ev.TurnFailed() | ev.TurnCancelled() | ev.TurnInterrupted():
                yield from self._end(record, payload)

    def _output(self, line: dict[str, Any]) -> Iterator[Shown]:
        if not self._has_lines:
            yield OUTPUT, line

    def _tool(self, record: Record, payload: ev.ToolCalled | ev.ToolReturned) -> Iterator[Shown]:
        turn = self._turn(record)
        if isinstance(payload, ev.ToolCalled):
            id, name, is_client = payload.call_id, payload.name, payload.runs_at == "client"
            self.turn = turn.with_call(Call(id, name, is_client))
            block = stream_json.tool_use_block(id, name, payload.arguments)
            line_id = f"msg_{turn.id}_{record.seq}"
            yield from self._output(stream_json.assistant(record.stream, line_id, turn.model, [block]))
            yield TOOL, {"call_id": id, "name": name, "status": "running", "input": payload.arguments}
            if is_client:
                yield _pending(self.turn)
            return
        call = turn.call(payload.call_id) or Call(payload.call_id, None)
        self.turn = turn.without_call(call.id)
        line = stream_json.tool_result(record.stream, call.id, payload.result, payload.is_error)
        yield from self._output(line)
        status = "done" if not payload.is_error else "denied" if call.is_denied else "failed"
        yield TOOL, {"call_id": call.id, "name": call.name, "status": status, "result": payload.result}
        if call.is_client:
            yield _pending(self.turn)

    def _permission(
        self, record: Record, payload: ev.PermissionAsked | ev.PermissionAnswered
    ) -> Iterator[Shown]:
        turn = self._turn(record)
        if isinstance(payload, ev.PermissionAsked):
            self.turn = replace(turn, asked=(*turn.asked, Asked.of(payload)))
            yield _pending(self.turn)
            return
        asked = turn.request(payload.request_id)
        self.turn = turn = turn.without_request(payload.request_id)
        if asked is not None and asked.is_denied_by(payload):
            self.turn = turn.with_call(Call(asked.call_id, asked.tool, is_denied=True))
            yield TOOL, {"call_id": asked.call_id, "name": asked.tool, "status": "denied"}
        yield _pending(turn)

    def _end(self, record: Record, end: ev.TurnEnd) -> Iterator[Shown]:
        done: dict[str, Any] = {"success": False, "finish_reason": "error", "usage": None, "cost": None}
        match end:
            case ev.TurnCompleted():
                reason, usage, cost = end.finish_reason, end.usage, end.cost
                line = stream_json.success(record.stream, end.text, reason, usage, cost, end.seconds)
                done = {"success": True, "finish_reason": reason, "usage": usage, "cost": cost}
            case ev.TurnFailed(code, detail, retryable):
                line = stream_json.failure(record.stream, detail)
                yield ERROR, {"message": detail, "code": code, "retryable": retryable}
            case ev.TurnCancelled(by):
                line = stream_json.failure(record.stream, f"cancelled by {by}")
                done["finish_reason"] = "cancelled"
            case ev.TurnInterrupted(reason):
                line = stream_json.failure(record.stream, reason)
                done["finish_reason"] = "interrupted"
        yield from self._output(line)
        yield COMPLETE, done


def _status(state: str, turn_id: str | None) -> Shown:
    return STATUS, {"state": state, "turn_id": turn_id}


def _pending(turn: ShownTurn) -> Shown:
    """Return the state of a session after a request was made or answered: it waits while one is pending. The
    latest permission request is shown."""
    name, status = _status("waiting" if turn.is_waiting else "active", turn.id or None)
    return name, {**status, "permission": turn.asked[-1].data} if turn.asked else status


def _place(record: Record, number: int, prev: int, at: int | None = None) -> bytes:
    """Return the members that every payload has."""
    when = timestamp(record.at if at is None else at)
    return f'"epoch":"{record.epoch}","seq":{number},"prev":{prev},"at":"{when}"}}'.encode()


def _with_place(body: bytes, place: bytes) -> bytes:
    """Return a JSON object with these members at its end."""
    return body[:-1] + (b"," if len(body) > 2 else b"") + place


def _object(data: bytes) -> bytes:
    """Return the object in the data of an `agent.record`, without spaces around it; a line that was no object
    is put into one."""
    found = msgspec.json.decode(data, type=_Record)
    if starts_with(found.record, b"{"):
        return bytes(found.record)
    if found.raw is not None:
        return msgspec.json.encode({"raw": found.raw, "encoding": found.encoding})
    return msgspec.json.encode({"record": found.record})
