"""The events of a turn as those of a response, and the response itself.

The same events always become the same response with the same numbers, so a stream can be read again from any
of its events. Chunks of an answer that were folded count as if they were there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from rhetor.domain import event as ev
from rhetor.store.base import Record

from . import vendor_errors
from .failures import failure_of
from .openai_responses_items import sealed
from .openai_responses_tools import ToolName, call_item

Shape = dict[str, Any]
ItemStatus = Literal["completed", "incomplete"]
Status = Literal["queued", "in_progress", "completed", "failed", "incomplete", "cancelled"]
# the reasons for an incomplete response, by our finish reasons
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter", "refusal": "content_filter"}
_CODES = {"rate_limit_exceeded", "context_length_exceeded"}  # that clients of this API know


def id_of(turn_id: str) -> str:
    """Return the id of a turn's response."""
    return f"resp_{turn_id.removeprefix('t_')}"


def turn_of(response_id: str) -> str:
    """Return the id of the turn of a response; empty if the id is not one of a response."""
    prefix, _, id = response_id.partition("_")
    return f"t_{id}" if prefix == "resp" and id else ""


def turn_of_item(item_id: str) -> str:
    """Return the id of the turn whose answer has an item; empty if it is not known."""
    parts = item_id.split("_")
    return f"t_{parts[1]}" if len(parts) == 3 else ""


class About(Struct, frozen=True):
    """What is known of a response before its turn begins. `session_id`: empty if it has no turn; `shown`,
    `names`, `encrypted`: as in `ResponseAsked`."""

    turn_id: str
    session_id: str
    shown: Mapping[str, Any]
    names: Mapping[str, ToolName]
    encrypted: bool = False

    @property
    def is_background(self) -> bool:
        return bool(self.shown.get("background"))


class Answer(Struct):
    """The response of one turn, up to the events that were added. Its state consists of immutable values.

    `created`: Unix time in seconds; `number`: of the next event; `output`: its finished items; `open`: the
    kind of the item that is not finished, whose text so far is `text`; `is_folded`: some of its chunks were
    folded; `whole`: the text of the answer, if it has ended.
    """

    about: About
    status: Status | Literal[""] = ""
    created: int = 0
    number: int = 0
    output: tuple[Shape, ...] = ()
    open: Literal["", "message", "reasoning"] = ""
    text: str = ""
    is_folded: bool = False
    whole: str = ""
    is_over: bool = False
    ended: Shape = {}

    def add(self, record: Record) -> Iterator[Shape]:
        """Yield the events that follow from one of the turn."""
        if record.turn_id != self.about.turn_id or self.is_over:
            return
        if not self.status:
            self.created = record.at // 1000
            yield from self._create()
        if record.type == ev.MessageAccepted.type:
            return  # it may be large, and is not decoded
        match record.event.payload:
            case ev.TurnQueued() if self.status == "in_progress" and self.number == 1:
                self.status = "queued"
                yield self._event("response.queued", response=self.response())
            case ev.TurnStarted() if self.status == "queued" or self.number == 1:
                self.status = "in_progress"
                yield self._event("response.in_progress", response=self.response())
            case ev.OutputDelta(text, "answer"):
                yield from self._begin("message")
                yield self._delta(text)
                self.text += text
            case ev.OutputDelta(text, "reasoning"):
                yield from self._begin("reasoning")
                yield self._delta(text)
                self.text += text
            case ev.ReasoningKept(vendor, data):
                yield from self._keep_reasoning(sealed(vendor, data) if self.about.encrypted else "")
            case ev.ToolCalled(runs_at="caller") as called:
                yield from self._finish()
                yield from self._call(called)
            case ev.Folded(from_seq=first):
                yield from self._begin("message")
                self.number += record.seq - first + 1
                self.is_folded = True
            case ev.TurnCompleted() | ev.TurnFailed() | ev.TurnCancelled() | ev.TurnInterrupted() as end:
                yield from self._end(end, record.at // 1000)

    def response(self) -> Shape:
        """Return the response as it is now."""
        return {
            "id": id_of(self.about.turn_id),
            "object": "response",
            "created_at": self.created,
            "completed_at": None,
            "status": self.status,
            "error": None,
            "incomplete_details": None,
            "output": list(self.output),
            "usage": None,
            "conversation": {"id": self.about.session_id} if self.about.session_id else None,
            **self.about.shown,
            **self.ended,
        }

    def _create(self) -> Iterator[Shape]:
        self.status = "queued" if self.about.is_background else "in_progress"
        yield self._event("response.created", response=self.response())
        if self.about.is_background:
            yield self._event("response.queued", response=self.response())

    def _begin(self, kind: Literal["message", "reasoning"]) -> Iterator[Shape]:
        """Begin an item, unless it is the one that is open."""
        if self.open == kind:
            return
        yield from self._finish()
        self.open, self.text, self.is_folded = kind, "", False
        yield self._item_event("added", self._item("in_progress", is_new=True))
        if kind == "message":
            yield self._event("response.content_part.added", **self._place, part=_text_part(""))
        else:
            yield self._event("response.reasoning_summary_part.added", **self._place, part=_summary_part(""))

    def _delta(self, text: str) -> Shape:
        if self.open == "message":
            return self._event("response.output_text.delta", **self._place, delta=text, logprobs=[])
        return self._event("response.reasoning_summary_text.delta", **self._place, delta=text)

    @property
    def _missing(self) -> str:
        """The text of chunks that were folded: all of the answer that no finished item has."""
        told = sum(len(part["text"]) for item in self.output for part in item.get("content", ()))
        return self.whole[told:]

    def _finish(self, status: ItemStatus = "completed", kept: str = "") -> Iterator[Shape]:
        """Finish the open item. `kept`: its encrypted content."""
        if not self.open:
            return
        if self.is_folded:
            self.number -= 1  # the last of the folded chunks has all of them
            self.text = self._missing
            yield self._delta(self.text)
        text, place = self.text, self._place
        if self.open == "message":
            yield self._event("response.output_text.done", **place, text=text, logprobs=[])
            yield self._event("response.content_part.done", **place, part=_text_part(text))
        else:
            yield self._event("response.reasoning_summary_text.done", **place, text=text)
            yield self._event("response.reasoning_summary_part.done", **place, part=_summary_part(text))
        item = self._item(status, kept)
        yield self._item_event("done", item)
        self.output += (item,)
        self.open, self.text, self.is_folded = "", "", False

    def _keep_reasoning(self, kept: str) -> Iterator[Shape]:
        """Finish the reasoning with the object that its vendor needs again. Reasoning that was not shown is
        an item without text."""
        if self.open == "reasoning":
            yield from self._finish(kept=kept)
        elif kept:
            yield from self._finish()
            item: Shape = {
                "id": self._id("rs"),
                "type": "reasoning",
                "summary": [],
                "encrypted_content": kept,
            }
            yield self._item_event("added", item)
            yield self._item_event("done", item)
            self.output += (item,)

    def _call(self, called: ev.ToolCalled) -> Iterator[Shape]:
        item = call_item(called, self._id("").lstrip("_"), self.about.names)
        place = {"item_id": item["id"], "output_index": len(self.output)}
        member = "arguments" if item["type"] == "function_call" else "input"
        kind = "function_call_arguments" if member == "arguments" else "custom_tool_call_input"
        text = item[member]
        yield self._item_event("added", {**item, member: "", "status": "in_progress"})
        yield self._event(f"response.{kind}.delta", **place, delta=text)
        yield self._event(f"response.{kind}.done", **place, **{member: text}, name=item["name"])
        yield self._item_event("done", item)
        self.output += (item,)

    def _end(self, end: ev.TurnEnd, at: int) -> Iterator[Shape]:
        self.status, self.ended = _ended(end, at)
        yield from self._finish("completed" if self.status == "completed" else "incomplete")
        kind = "incomplete" if self.status == "cancelled" else self.status
        yield self._event(f"response.{kind}", response=self.response())
        self.is_over = True

    def _item(self, status: str, kept: str = "", *, is_new: bool = False) -> Shape:
        if self.open == "message":
            content = [] if is_new else [_text_part(self.text)]
            about = {"id": self._id("msg"), "type": "message", "status": status, "role": "assistant"}
            return {**about, "content": content}
        summary = [] if is_new else [_summary_part(self.text)]
        more = {"encrypted_content": kept} if kept else {}
        return {"id": self._id("rs"), "type": "reasoning", "summary": summary, **more}

    def _item_event(self, what: str, item: Shape) -> Shape:
        return self._event(f"response.output_item.{what}", output_index=len(self.output), item=item)

    @property
    def _place(self) -> Shape:
        prefix, index = ("msg", "content_index") if self.open == "message" else ("rs", "summary_index")
        return {"item_id": self._id(prefix), "output_index": len(self.output), index: 0}

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self.about.turn_id.removeprefix('t_')}_{len(self.output)}"

    def _event(self, type: str, **members: Any) -> Shape:
        self.number += 1
        return {"type": type, "sequence_number": self.number - 1, **members}


def answer_of(about: About, records: Sequence[Record], after: int = -1) -> tuple[Answer, list[Shape]]:
    """Return the response of a turn, as far as its records tell it, with its events after the number
    `after`."""
    answer = Answer(about, whole=_text_of(records))
    events = [event for record in records for event in answer.add(record)]
    return answer, [event for event in events if event["sequence_number"] > after]


def prepared(about: About, at: int) -> Iterator[Shape]:
    """Yield the events of a response that has no turn and no output. `at`: Unix time in seconds."""
    answer = Answer(about, "in_progress", at)
    for kind in ("created", "in_progress", "completed"):
        if kind == "completed":
            answer.status = "completed"
            answer.ended = {"completed_at": at, "usage": usage_of({"input_tokens": 0})}
        yield {"type": f"response.{kind}", "sequence_number": answer.number, "response": answer.response()}
        answer.number += 1


def _text_of(records: Sequence[Record]) -> str:
    for record in reversed(records):
        if isinstance(payload := record.event.payload, ev.TurnCompleted | ev.OutputPartial):
            return payload.text
    return ""


def _ended(end: ev.TurnEnd, at: int) -> tuple[Status, Shape]:
    """Return the status of a response at the end of its turn, and what else is known of it then."""
    match end:
        case ev.TurnCompleted(finish_reason=reason):
            usage = usage_of(end.usage)
            if (missing := _INCOMPLETE.get(reason)) is not None:
                return "incomplete", {"incomplete_details": {"reason": missing}, "usage": usage}
            return "completed", {"completed_at": at, "usage": usage}
        case ev.TurnFailed(code="empty_answer", data={"finish_reason": str(reason)}) if reason in _INCOMPLETE:
            return "incomplete", {"incomplete_details": {"reason": _INCOMPLETE[reason]}}
        case ev.TurnCancelled():
            return "cancelled", {}
    error = vendor_errors.openai(failure_of(end), vendor_errors.OF_RESPONSES)["error"]
    code = error["code"] if error["code"] in _CODES else "server_error"
    return "failed", {"error": {"code": code, "message": error["message"]}}


def usage_of(found: Mapping[str, Any] | None) -> Shape | None:
    """Return the tokens of a turn; None if they are unknown."""
    if not found:
        return None
    read, written = found.get("input_tokens") or 0, found.get("output_tokens") or 0
    details = {
        "cached_tokens": found.get("cached_tokens") or 0,
        "cache_write_tokens": found.get("cache_written_tokens") or 0,
    }
    return {
        "input_tokens": read,
        "input_tokens_details": details,
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": found.get("reasoning_tokens") or 0},
        "total_tokens": read + written,
    }


def _text_part(text: str) -> Shape:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary_part(text: str) -> Shape:
    return {"type": "summary_text", "text": text}
