"""The hub for a shell in which lines outlive it: what peers are sent goes out once, under an idempotency key,
and what they say is followed by its cursor, over as many connections and hubs as it takes.

The streams are those of `aish.client`, which it is for everything else; what they mean it refuses to know.
"""

from aish import exits
from aish.client.hub import Hub, refusal
from aish.client.json_sse import encode
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping
    from typing import Any, TypeVar

    from aish import live
    from aish.turns.background import Background

    Given = TypeVar("Given")

_STREAM, _MESSAGE = "/stream", "/message"
_ENDS = {"turn.failed": "", "turn.cancelled": "cancelled", "turn.interrupted": "interrupted"}


class ResumingHub(Hub):
    """As `Hub`, where streams go on with the next hub. Its connection lives in `background`, and is made with
    the first of them."""

    def __init__(self, background: "Background", home: str | None = None) -> None:
        super().__init__(home)
        self._background = background
        self._client: live.Hub | None = None

    def stream(self, path: str, body: "Any", *, accept: str = "") -> "Resumed":
        """As `Hub.stream`. A hub that goes away is waited for, and started where it was killed.

        Raises:
            Failure: the hub refuses, or does not come back.
        """
        self.connect().close()  # a hub that cannot be started says here why
        headers = self.waited(self._sent(path, body))
        assert self._client is not None
        is_turn = path.endswith(_STREAM)
        stream = headers["x-session-id" if is_turn else "x-plan-id"]
        follow = self._client.follow(stream, headers["x-cursor"])
        turn = headers["x-turn-id"] if is_turn else None
        return Resumed(self, follow, headers, turn, as_frames=is_turn and not accept)

    def waited(self, work: "Coroutine[Any, Any, Given]") -> "Given":
        """Raises:
        Failure: as `stream`; or the deadline has passed."""
        from aish.live import HubError, HubUnreachable

        try:
            return self._background.wait(work, self.deadline)
        except TimeoutError:
            raise Failure("no answer in time", exits.TIMED_OUT) from None
        except HubUnreachable as away:
            raise Failure(away.detail, exits.UNREACHABLE) from None
        except HubError as error:
            problem = {**error.data, "code": error.code, "detail": error.detail}
            raise refusal(problem, error.status) from None

    def leave(self, follow: "live.Follow") -> None:
        self._background.loop.call_soon_threadsafe(follow.close)

    async def _sent(self, path: str, body: "Any") -> "Mapping[str, str]":
        from aish.live import connect
        from aish.live.requests import new_key

        if self._client is None:
            self._client = await self._background.keep(connect(self.home))
        where = path.removesuffix(_STREAM) + _MESSAGE if path.endswith(_STREAM) else path
        return await self._client.place(where, body, key=new_key())


class Resumed:
    """What is said in answer to a request, as `Answer` has it."""

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
        self._prev = int(headers["x-cursor"].rpartition(":")[2])
        self._said = 0

    def close(self) -> None:
        self._hub.leave(self._follow)

    def events(self) -> "Iterator[bytes]":
        """The data of each event, without end: who reads knows the last one."""
        while True:
            for event in self._hub.waited(self._taken()):
                if self._turn is None or event.turn_id == self._turn:
                    yield from map(encode, self._frames(event) if self._as_frames else [self._raw(event)])

    async def _taken(self) -> "list[live.Event]":
        """All that is there, and at least one."""
        events = [await anext(self._follow)]
        while self._follow.kept:
            events.append(await anext(self._follow))
        return events

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
        """A turn's event as the stream of one answer says it (docs/reference/rest.md)."""
        data = event.data
        if event.type == "output.delta":
            self._said += len(data["text"]) if data["channel"] == "answer" else 0
            yield {"type": "content", "data": data["text"], "channel": data["channel"]}
        elif event.type == "turn.completed":
            # a turn that is over may have been folded: its text is in its end
            yield {"type": "content", "data": data["text"][self._said :], "channel": "answer"}
            yield {"type": "done", **data, "execution_time": data["seconds"]}
        elif event.type == "permission.asked":
            yield {"type": "permission", **data}
        elif event.type in _ENDS:
            broken_off = {"code": _ENDS[event.type], "retryable": True}
            yield {"type": "error", **broken_off, **data}
