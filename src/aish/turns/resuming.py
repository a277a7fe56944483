"""A hub whose streams survive lost connections and restarts of the hub.

A message is sent once, under an idempotency key. Its events are followed by cursor, over as many connections
as necessary. Everything else is as in `aish.client.hub`.
"""

from aish import exits
from aish.client.hub import Hub, problem_failure
from aish.client.json_sse import encode
from aish.client.response import timed_out
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping
    from typing import Any, TypeVar

    from aish import live
    from aish.turns.background import Background

    Result = TypeVar("Result")

_STREAM, _MESSAGE = "/stream", "/message"
# events whose frames have the same members
_FRAMES = {
    "permission.asked": "permission",
    "permission.answered": "permission_answered",
    "tool.called": "tool_call",
    "tool.returned": "tool_result",
    "agent.plan": "plan",
    "budget.reached": "budget",
}
_ENDS = {"turn.failed": "", "turn.cancelled": "cancelled", "turn.interrupted": "interrupted"}


class ResumingHub(Hub):
    """A `Hub` whose streams continue after a restart of the hub. Their connection is opened with the first
    stream, and runs in `background`. `unasked_after`: if it is set, the prompt shows at once what the program
    prints unasked after that event."""

    unasked_after: int | None = None

    def __init__(self, background: "Background", home: str | None = None) -> None:
        super().__init__(home)
        self._background = background
        self._client: live.Hub | None = None

    def stream(self, path: str, body: "Any", *, accept: str = "") -> "ResumingStream":
        """Post a message or a plan, as `Hub.stream`. If the hub goes away, the stream waits for it, and
        starts it if it was killed.

        Raises:
            Failure: the hub rejects the request, or does not come back.
        """
        self.connect().close()  # if the hub cannot be started, this says why
        headers = self.wait(self._send_once(path, body))
        assert self._client is not None
        is_turn = path.endswith(_STREAM)
        stream = headers["x-session-id" if is_turn else "x-plan-id"]
        follow = self._client.follow(stream, headers.get("x-unasked-after", headers["x-cursor"]))
        turn = headers["x-turn-id"] if is_turn else None
        return ResumingStream(self, follow, headers, turn, as_frames=is_turn and not accept)

    def wait(self, work: "Coroutine[Any, Any, Result]") -> "Result":
        """Run the work in the background, and return its result.

        Raises:
            Failure: as for `stream`, or the deadline has passed.
        """
        from aish.live import HubError, HubUnreachable

        try:
            return self._background.wait(work, self.deadline)
        except TimeoutError:
            raise timed_out() from None
        except HubUnreachable as error:
            raise Failure(error.detail, exits.UNREACHABLE) from None
        except HubError as error:
            problem = {**error.data, "code": error.code, "detail": error.detail}
            raise problem_failure(problem, error.status) from None

    def stop_following(self, follow: "live.Follow") -> None:
        self._background.loop.call_soon_threadsafe(follow.close)

    async def _send_once(self, path: str, body: "Any") -> "Mapping[str, str]":
        from aish.live import connect
        from aish.live.requests import new_key

        if self._client is None:
            self._client = await self._background.enter(connect(self.home))
        target = path.removesuffix(_STREAM) + _MESSAGE if path.endswith(_STREAM) else path
        return await self._client.submit(target, body, key=new_key())


class ResumingStream:
    """The events that answer a request. It has the methods of `aish.client.response.Stream`."""

    def __init__(
        self,
        hub: ResumingHub,
        follow: "live.Follow",
        headers: "Mapping[str, str]",
        turn: str | None,
        *,
        as_frames: bool,
    ) -> None:
        self.headers = headers
        self._hub = hub
        self._follow = follow
        self._turn = turn
        self._as_frames = as_frames
        self._prev = self._before = int(headers["x-cursor"].rpartition(":")[2])
        self._shown = 0

    def close(self) -> None:
        self._hub.stop_following(self._follow)

    def events(self) -> "Iterator[bytes]":
        """Yield the data of each event. The iterator does not end; the caller stops after the last event."""
        while True:
            for event in self._hub.wait(self._next_events()):
                if self._turn is None or event.turn_id == self._turn or self._is_unasked(event):
                    yield from map(encode, self._frames(event) if self._as_frames else [self._raw(event)])

    async def _next_events(self) -> "list[live.Event]":
        """Wait for events, and return those that have arrived, at least one."""
        events = [await anext(self._follow)]
        while self._follow.buffered:
            events.append(await anext(self._follow))
        return events

    def _is_unasked(self, event: "live.Event") -> bool:
        """Whether a program printed this unasked before the turn, and no prompt has shown it."""
        shown_after = self._hub.unasked_after
        last = self._before if shown_after is None else min(self._before, shown_after)
        if event.turn_id or event.seq > last or not self._as_frames:
            return False
        return event.type == "output.delta" and event.data.get("channel") == "unsolicited"

    def _raw(self, event: "live.Event") -> "dict[str, Any]":
        names = (
            "session_id",
            *(("plan_id", "step") if event.plan_id else ()),
            "turn_id",
            "at",
            "type",
            "data",
        )
        position = {"epoch": event.epoch, "seq": event.seq, "prev": self._prev, "cursor": event.cursor}
        self._prev = event.seq
        return {**position, **{name: getattr(event, name) for name in names}}

    def _frames(self, event: "live.Event") -> "Iterator[dict[str, Any]]":
        """Yield the frames that the REST stream of one answer has for this event (docs/reference/rest.md)."""
        data = event.data
        if event.type == "output.delta":
            self._shown += len(data["text"]) if data["channel"] == "answer" else 0
            yield {"type": "content", "data": data["text"], "channel": data["channel"]}
        elif event.type == "turn.completed":
            # the log may have folded the deltas of a finished turn: its last event has the whole text
            yield {"type": "content", "data": data["text"][self._shown :], "channel": "answer"}
            yield {"type": "done", **data, "execution_time": data["seconds"]}
        elif event.type in _FRAMES:
            yield {"type": _FRAMES[event.type], **data}
        elif event.type == "turn.started" and data.get("instead_of"):
            yield {"type": "passed_on", "from": data["instead_of"], "to": data["peer"]}
        elif event.type == "checkpoint.failed":
            told = f"no checkpoint of this turn: {data['detail']}"
            yield {"type": "notice", "detail": told, "hint": data.get("hint")}
        elif event.type == "checkpoint.removed":
            detail = f"removed the checkpoint {data['name']!r}, and from now on older ones ({data['limit']})"
            yield {"type": "notice", "detail": detail}
        elif event.type == "checkpoint.made" and data.get("left_out"):
            named = ", ".join(f"{left['path']} ({left['reason']})" for left in data["left_out"])
            yield {"type": "notice", "detail": f"not in the checkpoint {data['name']!r}: {named}"}
        elif event.type in _ENDS:
            yield {"type": "error", "code": _ENDS[event.type], "retryable": True, **data}
