"""The answer to a request: whole, or as a stream in the vendor's frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rhetor.dialects.notices import TURN_ENDS
from rhetor.domain import event as ev
from rhetor.errors import PositionLost, RhetorError, TurnFailure
from rhetor.hub.catalog.turn_log import records_until_end
from rhetor.hub.fanout.subscriber import View
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Record, follow
from rhetor.transports.server import disconnect, sse
from rhetor.transports.server.call import Call, json_response
from rhetor.transports.server.counters import SSE

Frame = Callable[[RhetorError], bytes]
Make = Callable[[Iterable[Record]], dict[str, Any]]
HELD_SECONDS = 2.0  # for which a stream does not begin, unless the turn has said something
# with any of these events, a turn has said something, or waits for a person
_SAID = frozenset(each.type for each in (ev.OutputDelta, ev.ReasoningKept, ev.ToolCalled, ev.PermissionAsked))


class TurnStream(sse.EventStream):
    """The turn of an accepted message as a stream, up to its end. A client that disconnects does not end the
    turn. `error_frame` encodes the error with which a stream ends early; `beat` is written every 15 s."""

    def __init__(
        self,
        call: Call,
        accepted: Accepted,
        view: View,
        headers: dict[str, str],
        error_frame: Frame,
        beat: bytes = sse.BEAT,
    ) -> None:
        super().__init__(call.hub, accepted.session_id, accepted.after, view, headers, beat)
        self._error_frame = error_frame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        node, who, credential = state["node"], state["principal"], state["credential"]
        with node.connections.opened(SSE, who, credential, is_new=False) as connection:
            state["connection"], state["traffic"] = connection, node.tally.traffic[SSE]
            await super().__call__(scope, receive, send)

    def last_frame(self, error: RhetorError) -> bytes:
        return self._error_frame(error)

    def reset_frame(self, lost: PositionLost) -> bytes:
        return self._error_frame(lost)


async def until_it_speaks(call: Call, accepted: Accepted, make: Make) -> None:
    """Wait until the turn has said something or ended, but not for long. A turn that fails first gets the
    status of its error, so that the vendors' clients repeat the request if they should.

    Raises:
        CallerGone: the client disconnected. The turn continues.
        TurnFailure: the turn failed before it said anything, as `make` decides from its end.
    """
    with suppress(TimeoutError), disconnect.while_connected(call.scope):
        async with asyncio.timeout(HELD_SECONDS):
            if (end := await _first_said(call, accepted)) is not None:
                made(make, [end], accepted)


async def _first_said(call: Call, accepted: Accepted) -> Record | None:
    """Wait for the first thing that the turn says; return its end if it says nothing before."""
    async for records in follow(call.hub.state.store, accepted.session_id, accepted.after):
        for record in records:
            if record.turn_id == accepted.turn_id:
                if record.type in TURN_ENDS:
                    return record
                if record.type in _SAID:
                    return None
    return None


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
