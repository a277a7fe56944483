"""The responses of the Responses API, as OpenAI and Open Responses describe them, and the queries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

MOST_ITEMS = 100


class ResponseQuery(Struct, frozen=True, kw_only=True):
    """`stream`: the events of the response instead of the response; `starting_after`: only those after the
    one with this number. `include_obfuscation` has no effect."""

    stream: bool = False
    starting_after: Annotated[int, Meta(ge=-1)] = -1
    include_obfuscation: bool = False


class ItemsQuery(Struct, frozen=True, kw_only=True):
    """The page of items, newest first unless `order` is `asc`."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ITEMS)] = 20
    order: Literal["asc", "desc"] = "desc"


class ResponseError(Struct):
    code: str
    message: str


class IncompleteDetails(Struct):
    reason: Literal["max_output_tokens", "content_filter"]


class ResponseUsage(Struct):
    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class Conversation(Struct):
    id: str


class ResponseObject(Struct):
    """A response. `conversation`: the session in which it is a turn; None if it was only prepared. The
    members after `model` repeat the request, or say what the API does without them. `created_at`,
    `completed_at`: Unix time in seconds. Without `usage`, the tokens are unknown."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["queued", "in_progress", "completed", "failed", "incomplete", "cancelled"]
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    output: list[dict[str, Any]]
    usage: ResponseUsage | None
    conversation: Conversation | None
    model: str
    background: bool
    frequency_penalty: float
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    presence_penalty: float
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: str
    user: str | None = None


class CompactedResponse(Struct):
    """A compacted conversation. `output`: the system and user messages, and one item of the type
    `compaction`, whose `encrypted_content` stands for the rest. `created_at`: Unix time in seconds. Tokens
    that are unknown are 0."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[dict[str, Any]]
    usage: ResponseUsage


class InputTokens(Struct):
    """The tokens of a conversation with its model's own prompt."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class DeletedResponse(Struct):
    id: str
    object: Literal["response"]
    deleted: bool


class InputItems(Struct):
    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str
    last_id: str
    has_more: bool
