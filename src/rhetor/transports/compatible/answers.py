"""The answer to a request: whole, or as a stream in the vendor's frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rhetor.dialects.notices import TURN_ENDS
from rhetor.domain import event as ev
from rhetor.domain.event import Position
from rhetor.errors import PositionLost, RhetorError, TurnFailure
from rhetor.hub.catalog.turn_log import records_until_end
from rhetor.hub.fanout.presence import Reader
from rhetor.hub.fanout.subscriber import View
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Record
from rhetor.transports.server import disconnect, sse
from rhetor.transports.server.call import Call, json_response
from rhetor.transports.server.counters import SSE

Frame = Callable[[RhetorError], bytes]
Make = Callable[[Iterable[Record]], dict[str, Any]]
HELD_SECONDS = 2.0  # for which a stream does not begin, unless the turn has said something
# with any of these events, a turn has said something, or waits for a person
_SAID = frozenset(each.type for each in (ev.OutputDelta, ev.ReasoningKept, ev.ToolCalled, ev.PermissionAsked))
_SAID_OR_OVER = _SAID | TURN_ENDS


class TurnStream(sse.EventStream):
    """The turn of an accepted message as a stream, up to its end. A client that disconnects does not end the
    turn. `error_frame` encodes the error with which a stream ends early; `beat` is written every 15 s.

    With `make`, the stream does not begin before the turn has said something or ended, but at the latest
    after `HELD_SECONDS`. A turn that fails first gets the status of its error, so that the vendors' clients
    repeat the request if they should. `make` decides from the turn's end whether it has failed."""

    def __init__(
        self,
        call: Call,
        accepted: Accepted,
        view: View,
        headers: dict[str, str],
        error_frame: Frame,
        beat: bytes = sse.BEAT,
        make: Make | None = None,
    ) -> None:
        super().__init__(call.hub, accepted.session_id, accepted.after, view, headers, beat)
        self._accepted = accepted
        self._error_frame = error_frame
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        node, who, credential = state["node"], state["principal"], state["credential"]
        with node.connections.opened(SSE, who, credential, is_new=False) as connection:
            state["connection"], state["traffic"] = connection, node.tally.traffic[SSE]
            await super().__call__(scope, receive, send)

    async def _first_frames(self, scope: Scope, reader: Reader) -> bytes:
        try:
            if self._make is not None:
                return await self._said(self._make, scope)
        except asyncio.CancelledError:
            if (error := sse.why_ended(scope, reader)) is None:
                raise
            raise error from None
        return b""

    async def _said(self, make: Make, scope: Scope) -> bytes:
        """Wait for the first thing that the turn says, or for its end. Return everything up to it as frames;
        nothing if it has not come after `HELD_SECONDS`.

        Raises:
            TurnFailure: the turn failed before it said anything.
            CallerGone: the client disconnected.
        """
        store, after, seen = self._state.store, self._after, list[Record]()
        until = asyncio.get_running_loop().time() + HELD_SECONDS
        while True:
            records = await store.page(self._stream, after)
            if not records:
                if not await self._changed(scope, after, until):
                    return b""
                continue
            seen += records
            after = records[-1].position
            said = [record for record in records if self._is_said(record)]
            if not said:
                continue
            if said[0].type in TURN_ENDS:
                made(make, said[:1], self._accepted)
            self._after = after
            return b"".join(map(self._view.encode, seen))

    async def _changed(self, scope: Scope, after: Position, until: float) -> bool:
        """Wait for an event after a position. Return whether there is one in time."""
        try:
            with disconnect.while_connected(scope):
                async with asyncio.timeout_at(until):
                    await self._state.store.wait(self._stream, after)
        except TimeoutError:
            return False
        return True

    def _is_said(self, record: Record) -> bool:
        return record.type in _SAID_OR_OVER and record.turn_id == self._accepted.turn_id

    def last_frame(self, error: RhetorError) -> bytes:
        return self._error_frame(error)

    def reset_frame(self, lost: PositionLost) -> bytes:
        return self._error_frame(lost)


async def whole(call: Call, accepted: Accepted, headers: dict[str, str], make: Make) -> Response:
    """Wait for the end of the turn, and return the response that `make` makes of its events.

    Raises:
        CallerGone: the client disconnected. The turn continues.
        TurnFailure: the turn was not completed.
        RhetorError: as `Hub.answer`.
    """
    return json_response(made(make, await records_of_turn(call, accepted), accepted), headers)


def made(make: Make, records: Iterable[Record], accepted: Accepted) -> dict[str, Any]:
    """Return the response that `make` makes of a turn.

    Raises:
        TurnFailure: the turn was not completed; the error says where its log is.
    """
    try:
        return make(records)
    except TurnFailure as failure:
        failure.data |= {"session_id": accepted.session_id, "turn_id": accepted.turn_id}
        raise


async def records_of_turn(call: Call, accepted: Accepted) -> list[Record]:
    """Wait for the end of the turn, and return its events.

    Raises:
        CallerGone: the client disconnected. The turn continues.
        RhetorError: as `Hub.answer`.
    """
    waiting = call.hub.state.presence.waiting_for_end(accepted.session_id)
    with waiting, disconnect.while_connected(call.scope):
        await call.hub.answer(accepted)
        store = call.hub.state.store
        return await records_until_end(store, accepted.session_id, accepted.turn_id, accepted.after)
