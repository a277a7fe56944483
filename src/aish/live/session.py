"""Sessions and turns, as a program uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .errors import TurnCancelled, TurnFailed, TurnInterrupted
from .following import Follow
from .requests import Requests, new_key, path
from .values import Answer, Event, SessionState

if TYPE_CHECKING:
    from .connection import Connection

IfBusy = Literal["queue", "refuse", "interrupt"]
IfOffline = Literal["queue", "refuse"]
_ENDS = frozenset({"turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted"})


class Session:
    """A session of the hub. It outlives this object, the connection and the hub."""

    def __init__(
        self, requests: Requests, connection: Connection, id: str, peer: str, name: str | None = None
    ) -> None:
        self.id = id
        self.peer = peer
        self.name = name
        self._requests = requests
        self._connection = connection

    async def send(
        self,
        content: str,
        *,
        if_busy: IfBusy = "queue",
        if_offline: IfOffline = "refuse",
        execute: bool = False,
        delimiter: str | None = None,
        command_id: str | None = None,
    ) -> Turn:
        """Send a message. When this returns, the message is in the log, and its turn is running or queued.

        Content that is sent again with the same `command_id` is the same message. If you pass none, the
        client creates one, so a message is not sent twice if the connection breaks.

        Raises:
            PeerBusy: a turn is running, and `if_busy` is "refuse".
            MachineOffline: the peer's machine is not connected, and `if_offline` is "refuse".
            SessionOver: the session was stopped or has expired.
            Conflict: `command_id` was used for another message.
            Invalid: the message is empty or too large.
            HubUnreachable: the hub did not come back in time.
        """
        body = {
            "message": content,
            "if_busy": if_busy,
            "if_offline": if_offline,
            "execute": execute,
            "delimiter": delimiter,
        }
        return await send_turn(
            self._requests, self._connection, path("sessions", self.id, "message"), body, command_id
        )

    def follow(self, after: str | None = None) -> Follow:
        """Follow the session's events after a cursor, or from the beginning, and then new ones."""
        return Follow(self._connection, self.id, after)

    async def state(self) -> SessionState:
        """Return the state of the session, with its messages."""
        return msgspec.convert(await self._requests.ask("GET", path("sessions", self.id)), SessionState)

    async def answer_permission(
        self,
        request_id: str,
        option_id: str | None = None,
        *,
        answers: Mapping[str, Sequence[str] | str] | None = None,
    ) -> None:
        """Answer a permission request with one of its options, or with `answers` to its questions: labels, or
        a text, by the id of the question.

        Raises:
            Conflict: the request was answered already, has expired, or its turn has ended.
            Invalid: the request has no such option or question, or a question has no answer.
        """
        body = {"option_id": option_id} if answers is None else {"answers": answers}
        where = path("sessions", self.id, "permissions", request_id)
        await self._requests.ask("POST", where, body, key=new_key())

    async def tool_result(self, call_id: str, result: Any, *, is_error: bool = False) -> None:
        """Send the result (a JSON value) of a tool that this program runs. The turn continues with it.

        Raises:
            Conflict: the call has a result already, or its turn has ended.
        """
        where = path("sessions", self.id, "tool-results", call_id)
        await self._requests.ask("POST", where, {"result": result, "is_error": is_error}, key=new_key())

    async def interrupt(self) -> None:
        """Interrupt the running turn, if there is one."""
        await self._control("interrupt")

    async def pause(self) -> None:
        """Start no further turns. The running turn continues, and new messages are queued."""
        await self._control("pause")

    async def resume(self) -> None:
        """Start the queued turns again."""
        await self._control("resume")

    async def stop(self) -> None:
        """End the session. Its messages stay in the log."""
        await self._control("stop")

    async def _control(self, how: str) -> None:
        await self._requests.ask("POST", path("sessions", self.id, how))


class Turn:
    """One message and its answer. The turn runs whether or not the program reads it.

    The turn's events come after `cursor`.
    """

    def __init__(self, connection: Connection, id: str, session_id: str, peer: str, cursor: str) -> None:
        self.id = id
        self.session_id = session_id
        self.peer = peer
        self.cursor = cursor
        self._connection = connection

    async def events(self) -> AsyncIterator[Event]:
        """Yield the turn's events, from its message to its end.

        Raises:
            PositionLost: the events are no longer in the log.
            HubUnreachable: the hub did not come back in time.
        """
        async with Follow(self._connection, self.session_id, self.cursor) as follow:
            async for event in follow:
                if event.turn_id == self.id:
                    yield event
                    if event.type in _ENDS:
                        return

    async def text(self) -> AsyncIterator[str]:
        """Yield the pieces of the answer as they arrive.

        Raises:
            TurnFailed, TurnCancelled, TurnInterrupted: the turn ended without an answer.
        """
        partial = ""
        async for event in self.events():
            if event.type == "output.delta" and event.data["channel"] == "answer":
                partial += event.data["text"]
                yield event.data["text"]
            elif event.type == "turn.completed":
                # the log may have folded the deltas of a finished turn: its last event has the whole text
                if len(whole := event.data["text"]) > len(partial):
                    yield whole[len(partial) :]
            elif event.type in _ENDS:
                raise _failure(event, partial)

    async def answer(self) -> Answer:
        """Wait for the complete answer.

        Raises:
            TurnFailed, TurnCancelled, TurnInterrupted: the turn ended without an answer.
        """
        partial = ""
        async for event in self.events():
            if event.type == "output.delta" and event.data["channel"] == "answer":
                partial += event.data["text"]
            elif event.type == "turn.completed":
                return msgspec.convert(event.data, Answer)
            elif event.type in _ENDS:
                raise _failure(event, partial)
        raise AssertionError("a turn's events end with its end")


async def send_turn(
    requests: Requests, connection: Connection, path: str, body: dict[str, Any], command_id: str | None
) -> Turn:
    """Post the body to a path of the API, and return the turn that answers it."""
    given = {name: value for name, value in body.items() if value is not None}
    turn = await requests.ask("POST", path, given, key=command_id or new_key(), prefer="respond-async")
    return Turn(connection, turn["turn_id"], turn["session_id"], turn["ai"], turn["cursor"])


def _failure(event: Event, partial: str) -> TurnFailed:
    data = event.data
    if event.type == "turn.cancelled":
        return TurnCancelled(f"cancelled by {data.get('by')}", "cancelled", partial=partial, data=data)
    if event.type == "turn.interrupted":
        return TurnInterrupted(str(data.get("reason")), "interrupted", partial=partial, data=data)
    retryable = data.get("retryable") is True
    return TurnFailed(
        str(data.get("detail")), str(data["code"]), partial=partial, retryable=retryable, data=data
    )
