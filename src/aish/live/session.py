"""A conversation with a peer, and its turns, as a program uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .errors import TurnCancelled, TurnFailed, TurnInterrupted
from .following import Follow
from .requests import Requests, new_key, path
from .values import Answer, Event, SessionState

if TYPE_CHECKING:
    from .link import Link

IfBusy = Literal["queue", "refuse", "interrupt"]
_ENDS = frozenset({"turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted"})


class Session:
    """A session at the hub. It outlives this object, the connection and the hub."""

    def __init__(self, requests: Requests, link: Link, id: str, peer: str, name: str | None = None) -> None:
        self.id = id
        self.peer = peer
        self.name = name
        self._requests = requests
        self._link = link

    async def send(
        self,
        content: str,
        *,
        if_busy: IfBusy = "queue",
        execute: bool = False,
        delimiter: str | None = None,
        command_id: str | None = None,
    ) -> Turn:
        """Send a message; it is in the log when this returns, and its turn runs or waits.

        The same `command_id` with the same content is the same message, however often it is sent; one is
        made where none is given, so a message is not sent twice by a connection that breaks.

        Raises:
            PeerBusy: with `if_busy="refuse"`. SessionOver, Conflict, Invalid, HubUnreachable: as they say.
        """
        body = {"message": content, "if_busy": if_busy, "execute": execute, "delimiter": delimiter}
        return await sent(self._requests, self._link, path("sessions", self.id, "message"), body, command_id)

    def follow(self, after: str | None = None) -> Follow:
        """The session's events behind a cursor, and then those that come; from its beginning without one."""
        return Follow(self._link, self.id, after)

    async def state(self) -> SessionState:
        """How it is, with its messages."""
        return msgspec.convert(await self._requests.ask("GET", path("sessions", self.id)), SessionState)

    async def answer_permission(self, request_id: str, option_id: str) -> None:
        """Choose one of the request's options.

        Raises:
            Conflict: it was answered, has expired, or its turn is over. Invalid: that is no option of it.
        """
        where = path("sessions", self.id, "permissions", request_id)
        await self._requests.ask("POST", where, {"option_id": option_id}, key=new_key())

    async def tool_result(self, call_id: str, result: Any, *, is_error: bool = False) -> None:
        """The result (JSON) of a tool that runs here; the turn goes on with it.

        Raises:
            Conflict: it was given already, or the turn is over.
        """
        where = path("sessions", self.id, "tool-results", call_id)
        await self._requests.ask("POST", where, {"result": result, "is_error": is_error}, key=new_key())

    async def interrupt(self) -> None:
        """End the turn that runs, if one does."""
        await self._control("interrupt")

    async def pause(self) -> None:
        """Let messages wait; the turn that runs goes on."""
        await self._control("pause")

    async def resume(self) -> None:
        await self._control("resume")

    async def stop(self) -> None:
        """End the session. What was said in it stays."""
        await self._control("stop")

    async def _control(self, how: str) -> None:
        await self._requests.ask("POST", path("sessions", self.id, how))


class Turn:
    """One message and what comes of it. It runs whether anybody looks or not.

    `cursor`: its events stand behind it.
    """

    def __init__(self, link: Link, id: str, session_id: str, peer: str, cursor: str) -> None:
        self.id = id
        self.session_id = session_id
        self.peer = peer
        self.cursor = cursor
        self._link = link

    async def events(self) -> AsyncIterator[Event]:
        """The turn's events, from its message to its end.

        Raises:
            PositionLost: the log does not have them any more. HubUnreachable: the hub did not come back.
        """
        async with Follow(self._link, self.session_id, self.cursor) as follow:
            async for event in follow:
                if event.turn_id == self.id:
                    yield event
                    if event.type in _ENDS:
                        return

    async def text(self) -> AsyncIterator[str]:
        """The answer as it comes; joined it is the whole one.

        Raises:
            TurnFailed, TurnCancelled, TurnInterrupted: it ends without an answer.
        """
        said = ""
        async for event in self.events():
            if event.type == "output.delta" and event.data["channel"] == "answer":
                said += event.data["text"]
                yield event.data["text"]
            elif event.type == "turn.completed":
                # a turn that is over may have been folded: its text is in its end
                if len(whole := event.data["text"]) > len(said):
                    yield whole[len(said) :]
            elif event.type in _ENDS:
                raise _failure(event, said)

    async def answer(self) -> Answer:
        """The whole answer, when it is complete.

        Raises:
            TurnFailed, TurnCancelled, TurnInterrupted: there is none.
        """
        said = ""
        async for event in self.events():
            if event.type == "output.delta" and event.data["channel"] == "answer":
                said += event.data["text"]
            elif event.type == "turn.completed":
                return msgspec.convert(event.data, Answer)
            elif event.type in _ENDS:
                raise _failure(event, said)
        raise AssertionError("a turn's events end with its end")


async def sent(
    requests: Requests, link: Link, where: str, body: dict[str, Any], command_id: str | None
) -> Turn:
    """Send what `body` says; the turn that it began."""
    given = {name: value for name, value in body.items() if value is not None}
    place = await requests.ask("POST", where, given, key=command_id or new_key(), prefer="respond-async")
    return Turn(link, place["turn_id"], place["session_id"], place["ai"], place["cursor"])


def _failure(event: Event, said: str) -> TurnFailed:
    data = event.data
    if event.type == "turn.cancelled":
        return TurnCancelled(f"cancelled by {data.get('by')}", "cancelled", partial=said, data=data)
    if event.type == "turn.interrupted":
        return TurnInterrupted(str(data.get("reason")), "interrupted", partial=said, data=data)
    retryable = data.get("retryable") is True
    return TurnFailed(
        str(data.get("detail")), str(data["code"]), partial=said, retryable=retryable, data=data
    )
