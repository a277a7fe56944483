"""The count of tokens of the Responses API: what a request asks for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from rhetor.domain.given import GivenConversation, SaidText

from . import openai_responses_body as b
from .asked import MISSING, decode
from .openai_chat_body import Model
from .openai_responses import NOTHING_BEFORE, Before, Request, with_items
from .openai_responses_items import said
from .openai_responses_tools import tools_of
from .vendor_errors import refused

REFUSED = {"conversation": "not supported; use `previous_response_id`"}


class InputTokensBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversation whose tokens are to be counted for a model."""

    model: Model
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    previous_response_id: b.Id | None = None
    tools: list[dict[str, Any]] | None = None
    # accepted, and without effect on the count
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    personality: Annotated[str, Meta(max_length=64)] | None = None
    reasoning: b.Reasoning | None = None
    text: b.Text | None = None
    truncation: Literal["auto", "disabled"] | None = None
    conversation: None = None


class _Undecoded(InputTokensBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    input: str | list[Raw] | None = None  # type: ignore[assignment]
    tools: list[Raw] | None = None  # type: ignore[assignment]


def tokens_request(data: bytes | bytearray) -> Request[Any]:
    """Decode a request.

    Raises:
        Malformed, Unprocessable, TooManyValues: as `openai_responses.request_of`.
    """
    return with_items(decode(data, _Undecoded, (), REFUSED))


def to_count(request: Request[Any], before: Before = NOTHING_BEFORE) -> GivenConversation:
    """Return the conversation whose tokens a request asks for.

    Raises:
        Unprocessable, TooManyValues: as `openai_responses.request_of`; or there is no conversation.
    """
    body, found = request.body, said(request.items, before.referenced)
    messages = before.messages + found.messages
    if not messages:
        raise refused("input", "nothing to count; send `input` or `previous_response_id`", MISSING)
    instructions = (SaidText(body.instructions),) if body.instructions else ()
    system = instructions + before.system + found.system
    return GivenConversation(messages, system, tools_of(replace(body, tool_choice=None)).given)
