"""OpenAI's Chat Completions API: `/v1/chat/completions`."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from rhetor.dialects import openai_chat, openai_chat_answer
from rhetor.transports.server.call import Call

from .answers import TurnStream, whole
from .asking import decoded, send


async def create_completion(call: Call, content: bytearray) -> Response:
    """Answer the last message of a conversation; with `stream: true`, as server-sent events.

    `model` is a peer, `team:NAME`, `@CAPABILITY`, or a line of the grammar. The session in which the peer
    answers is in the header `x-session-id`. A request with that header continues that session.
    """
    asked = await decoded(call, content, openai_chat.asked)
    accepted, headers = await send(call, asked, "chat")
    created = call.hub.state.ids.now() // 1000
    make = partial(
        openai_chat_answer.completion, turn_id=accepted.turn_id, model=asked.model, created=created
    )
    if not asked.stream:
        return await whole(call, accepted, headers, make)
    view = openai_chat_answer.ChatStream(accepted.turn_id, asked.model, created, asked.include_usage)
    return TurnStream(call, accepted, view, headers, openai_chat_answer.error_frame, make=make)
