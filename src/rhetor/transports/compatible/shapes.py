"""The responses of the compatible APIs, as their vendors describe them, and the queries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct


class Model(Struct):
    """A peer as a model. OpenAI's clients read `object`, `created` and `owned_by`, Anthropic's `type`,
    `display_name` and `created_at`; `created` is Unix time in seconds. `kind`: what the peer is;
    `capabilities`: its scores."""

    id: str
    kind: Literal["specialist", "tool", "team"]
    description: str
    capabilities: dict[str, float]
    object: Literal["model"] | None = None
    created: int | None = None
    owned_by: str | None = None
    type: Literal["model"] | None = None
    display_name: str | None = None
    created_at: str | None = None


class Models(Struct):
    """The models. `object` is for OpenAI's clients; the last three members are for Anthropic's."""

    data: list[Model]
    object: Literal["list"] | None = None
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None


class ModelsQuery(Struct, frozen=True, kw_only=True):
    """The page that Anthropic's clients want. OpenAI's get all models."""

    after_id: str | None = None
    before_id: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20


class Function(Struct):
    name: str
    arguments: str


class Call(Struct):
    id: str
    type: Literal["function"]
    function: Function


class Message(Struct):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None


class Choice(Struct):
    index: Literal[0]
    message: Message
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class Completion(Struct):
    """A chat completion. `created`: Unix time in seconds. Tokens that are unknown are 0."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: dict[str, Any]


class AnthropicUsage(Struct):
    """The tokens of an answer, 0 if they are unknown. `input_tokens` are those outside a cache.
    `output_tokens_details` has `thinking_tokens`, if the provider reports them."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    output_tokens_details: dict[str, int] | None = None


class AnthropicMessage(Struct):
    """An answer of the Messages API. `content`: blocks of the types `text`, `thinking` and `tool_use`, and
    those that a provider of the same vendor has sent."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause_turn"]
    stop_sequence: str | None
    usage: AnthropicUsage


class TokenCount(Struct):
    """The tokens of a conversation with its model's own prompt."""

    input_tokens: int
