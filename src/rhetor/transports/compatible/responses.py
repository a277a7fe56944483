"""OpenAI's Responses API, and Open Responses: `POST /v1/responses`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rhetor.dialects.failures import failure_of
from rhetor.dialects.openai_responses import Request, ResponseAsked, asked, request_of, require_calls
from rhetor.dialects.openai_responses_answer import About, answer_of
from rhetor.dialects.openai_responses_body import ResponsesBody
from rhetor.dialects.openai_responses_stream import SseResponse, error_frame
from rhetor.domain.event import Api, TurnFailed, TurnInterrupted
from rhetor.hub.sessions.responses import records_of, with_turn
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Record
from rhetor.transports.server.call import Call, Caller, json_response

from .answers import Make, TurnStream, whole
from .asking import decoded, send, session_of
from .earlier import with_earlier
from .open_responses import open_responses

API: Api = "responses"


async def create_response(call: Call, content: bytearray) -> Response:
    """Answer the last message of a conversation; with `stream: true`, as server-sent events; with
    `background: true`, without waiting for the answer.

    `model` is a peer, `team:NAME`, `@CAPABILITY`, or a line of the grammar. The session in which the peer
    answers is in the header `x-session-id`. A request with that header continues that session, and one with
    `previous_response_id` the conversation of that response.
    """
    request = await decoded(call, content, request_of)
    found = await resolved(call, request, session_of(call), len(content))
    accepted, headers = await send(call, found, API)
    about = About(accepted.turn_id, accepted.session_id, found.shown, found.names, found.encrypted)
    make = partial(_whole, about)
    if found.stream:
        return _Stream(call, accepted, found, SseResponse(about), headers, None if found.background else make)
    if found.background:
        kept = await with_turn(call.hub.state, call.who, accepted.turn_id, found.kept)
        answer, _ = answer_of(about, await records_of(call.hub.state, kept))
        return json_response(answer.response(), headers)
    with _held(call, accepted, found):
        return await whole(call, accepted, headers, make)


async def resolved(
    caller: Caller, request: Request[ResponsesBody], session: str | None, size: int
) -> ResponseAsked:
    """Return what a request asks for, with the conversation of the previous response and what its references
    name. `session`: the session that it continues, if it names one; `size`: bytes of the request.

    Raises:
        RhetorError: as `asked`; or there is no such response or item.
    """
    found = await with_earlier(caller, request, size, asked)
    if found.session_of(session) is None:  # a session has the calls of earlier messages
        require_calls(found.given)
    return found


def _whole(about: About, turn: Iterable[Record]) -> dict[str, Any]:
    """Return the response of a turn that has ended. `turn`: its events.

    Raises:
        TurnFailure: the turn has failed.
    """
    records = list(turn)
    answer, _ = answer_of(about, records)
    end = records[-1].event.payload
    if answer.status == "failed" and isinstance(end, TurnFailed | TurnInterrupted):
        raise failure_of(end)
    return answer.response()


class _Stream(TurnStream):
    """A response as a stream. If it is not stored, it is found until the stream ends."""

    def __init__(
        self,
        call: Call,
        accepted: Accepted,
        found: ResponseAsked,
        view: SseResponse,
        headers: dict[str, str],
        make: Make | None,
    ) -> None:
        super().__init__(call, accepted, view, headers, error_frame, make=make)
        self._held = _held(call, accepted, found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def _held(call: Call, accepted: Accepted, found: ResponseAsked) -> Any:
    if found.store:
        return nullcontext()
    return open_responses(call.node).held(accepted.turn_id, call.who.subject, found.kept)
