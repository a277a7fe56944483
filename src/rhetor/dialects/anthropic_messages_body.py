"""The request bodies of Anthropic's Messages API (`POST /v1/messages` and `/v1/messages/count_tokens`)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Raw, Struct, field

from .openai_chat_body import CacheMark, FunctionName, Id, Model, Tier

Effort = Literal["low", "medium", "high", "xhigh", "max"]
Object = dict[str, Any]


class TextBlock(Struct, frozen=True, tag="text"):
    text: str
    cache_control: CacheMark | None = None


class Base64Source(Struct, frozen=True, tag="base64"):
    media_type: str
    data: str


class UrlSource(Struct, frozen=True, tag="url"):
    url: str


class TextSource(Struct, frozen=True, tag="text"):
    data: str
    media_type: str = "text/plain"


class FileSource(Struct, frozen=True, tag="file"):
    file_id: str


class ImageBlock(Struct, frozen=True, tag="image"):
    source: Base64Source | UrlSource | FileSource
    cache_control: CacheMark | None = None


class DocumentBlock(Struct, frozen=True, tag="document"):
    """A document. A plain text is part of the message's text, under its title."""

    source: Base64Source | UrlSource | TextSource | FileSource
    title: str | None = None
    context: str | None = None
    cache_control: CacheMark | None = None


class ToolUseBlock(Struct, frozen=True, kw_only=True, tag="tool_use"):
    id: Id
    name: FunctionName
    input: Object = field(default_factory=dict)
    cache_control: CacheMark | None = None


class ToolResultBlock(Struct, frozen=True, kw_only=True, tag="tool_result"):
    tool_use_id: Id
    content: str | list[TextBlock | ImageBlock | DocumentBlock] | None = None
    is_error: bool | None = None
    cache_control: CacheMark | None = None


UserBlock = TextBlock | ImageBlock | DocumentBlock | ToolResultBlock
AssistantBlock = TextBlock | ToolUseBlock


class BlockType(Struct, frozen=True):
    """What all blocks have."""

    type: str


class UserMessage(Struct, frozen=True, tag="user", tag_field="role"):
    content: str | list[UserBlock]


class AssistantMessage(Struct, frozen=True, tag="assistant", tag_field="role"):
    """Blocks other than text and calls are the vendor's own: reasoning, and what its tools did."""

    content: Annotated[
        str | list[Raw], Meta(extra_json_schema={"anyOf": [{"type": "string"}, {"type": "array"}]})
    ]


class SystemMessage(Struct, frozen=True, tag="system", tag_field="role"):
    content: str | list[TextBlock]


Message = UserMessage | AssistantMessage | SystemMessage


class Tool(Struct, frozen=True, kw_only=True):
    """A tool. One with a `type` other than `custom` is one that only Anthropic's models know; any other has a
    `name` and an `input_schema`."""

    name: FunctionName | None = None
    input_schema: Object | None = None
    type: str | None = None
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheMark | None = None


class AutoChoice(Struct, frozen=True, tag="auto"):
    disable_parallel_tool_use: bool | None = None


class AnyChoice(Struct, frozen=True, tag="any"):
    disable_parallel_tool_use: bool | None = None


class NamedChoice(Struct, frozen=True, tag="tool"):
    name: str
    disable_parallel_tool_use: bool | None = None


class NoChoice(Struct, frozen=True, tag="none"):
    pass


class EnabledThinking(Struct, frozen=True, tag="enabled"):
    budget_tokens: Annotated[int, Meta(ge=1)]
    display: str | None = None


class AdaptiveThinking(Struct, frozen=True, tag="adaptive"):
    display: str | None = None


class DisabledThinking(Struct, frozen=True, tag="disabled"):
    pass


class SchemaFormat(Struct, frozen=True, tag="json_schema"):
    schema: Object


class OutputConfig(Struct, frozen=True, kw_only=True):
    effort: Effort | None = None
    format: SchemaFormat | None = None
    task_budget: Object | None = None


class CountBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for the number of tokens of a conversation. `model`: a peer, `team:NAME`, `@CAPABILITY`, or a
    line of the grammar."""

    model: Model
    messages: Annotated[list[Message], Meta(min_length=1)]
    # honoured
    system: str | list[TextBlock] | None = None
    tools: list[Tool] | None = None
    tool_choice: AutoChoice | AnyChoice | NamedChoice | NoChoice | None = None
    thinking: EnabledThinking | AdaptiveThinking | DisabledThinking | None = None
    output_config: OutputConfig | None = None
    output_format: SchemaFormat | None = None
    # for providers with this API; without effect for others
    cache_control: CacheMark | None = None
    context_management: Object | None = None
    speed: Literal["standard", "fast"] | None = None
    betas: list[str] | None = None
    # known, and not supported
    mcp_servers: Annotated[list[Any], Meta(max_length=0)] | None = None


class MessagesBody(CountBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for an answer, a message."""

    max_tokens: Annotated[int, Meta(ge=1)]
    # honoured
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop_sequences: list[str] | None = None
    # for providers with this API
    top_k: Annotated[int, Meta(ge=0)] | None = None
    # accepted, and without effect on the answer
    metadata: Object | None = None
    service_tier: Tier | None = None
    inference_geo: Tier | None = None
    diagnostics: Object | None = None
    # known, and not supported
    container: None = None
    thread: None = None


REFUSED: Final = {
    "mcp_servers": "not supported; add the servers to the hub (aish mcp add), and give them to a specialist",
    "container": "not supported; the hub has no containers",
    "thread": "not supported; send the whole conversation with each request",
}
# sent on to providers with this API
FORWARDED: Final = (
    *("top_k", "cache_control", "context_management", "speed", "metadata", "service_tier", "inference_geo"),
    "diagnostics",
)
