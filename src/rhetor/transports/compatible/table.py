"""The routes of the OpenAI- and Anthropic-compatible APIs."""

from __future__ import annotations

from typing import Any

from rhetor import errors as e
from rhetor.auth.policy import Policy
from rhetor.dialects.anthropic_messages_body import CountBody, MessagesBody
from rhetor.dialects.openai_chat_body import ChatBody
from rhetor.dialects.openai_compaction import CompactBody
from rhetor.dialects.openai_input_tokens import InputTokensBody
from rhetor.dialects.openai_responses_body import ResponsesBody
from rhetor.transports.rest.table import ANSWER, PEER, Errors
from rhetor.transports.server.flow import CONVERSATION_BYTES
from rhetor.transports.server.router import Route, SocketRoute, Streams

from . import chat, compacting, messages, models, responses, responses_socket, shapes
from . import kept_responses as kept
from . import response_shapes as shown

READ, SEND = Policy.READ, Policy.SEND
ASKED: Errors = (*ANSWER, e.HopLimit)
MISSING: Errors = (e.NotFound,)
# what the routes that answer a conversation have in common
CONVERSATION: dict[str, Any] = {
    "streams": Streams.BODY,
    "headers": ("x-session-id", "x-turn-id", "x-cursor"),
    "body_bytes": CONVERSATION_BYTES,
    "takes_json": True,
}

# fmt: off
ROUTES = (
    Route("GET", "/v1/models", READ, models.list_models, answer=shapes.Models, query=shapes.ModelsQuery),
    Route("GET", "/v1/models/{id}", READ, models.one_model, answer=shapes.Model, errors=PEER),
    Route("POST", "/v1/chat/completions", SEND, chat.create_completion, ChatBody, shapes.Completion, ASKED,
          **CONVERSATION),
    Route("POST", "/v1/messages", SEND, messages.create_message, MessagesBody, shapes.AnthropicMessage, ASKED,
          **CONVERSATION),
    Route("POST", "/v1/messages/count_tokens", SEND, messages.count_tokens, CountBody, shapes.TokenCount,
          (*PEER, e.ProviderFailed), body_bytes=CONVERSATION_BYTES, takes_json=True),
    Route("POST", "/v1/responses", SEND, responses.create_response, ResponsesBody, shown.ResponseObject,
          (*ASKED, e.KeysUnavailable), **CONVERSATION),
    Route("POST", "/v1/responses/compact", SEND, compacting.compact_conversation, CompactBody,
          shown.CompactedResponse, (*ASKED, e.KeysUnavailable), headers=CONVERSATION["headers"],
          body_bytes=CONVERSATION_BYTES, takes_json=True),
    Route("POST", "/v1/responses/input_tokens", SEND, compacting.count_input, InputTokensBody,
          shown.InputTokens, (*PEER, e.ProviderFailed, e.KeysUnavailable), body_bytes=CONVERSATION_BYTES,
          takes_json=True),
    Route("GET", "/v1/responses/{id}", READ, kept.read_response, answer=shown.ResponseObject, errors=MISSING,
          query=shown.ResponseQuery, streams=Streams.BODY, at=kept.place_of),
    Route("DELETE", "/v1/responses/{id}", SEND, kept.delete_response, answer=shown.DeletedResponse,
          errors=MISSING, at=kept.place_of),
    Route("POST", "/v1/responses/{id}/cancel", SEND, kept.cancel_response, answer=shown.ResponseObject,
          errors=MISSING, at=kept.place_of),
    Route("GET", "/v1/responses/{id}/input_items", READ, kept.list_input, answer=shown.InputItems,
          errors=MISSING, query=shown.ItemsQuery, at=kept.place_of),
)
# fmt: on
SOCKETS = (SocketRoute("/v1/responses", SEND, responses_socket.responses_socket, "ws.responses"),)
