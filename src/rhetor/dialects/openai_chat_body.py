"""The request body of OpenAI's Chat Completions API (`POST /v1/chat/completions`)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from rhetor.codec.forms import PLAIN, form
from rhetor.domain.given import CacheTime

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Id = Annotated[str, Meta(pattern=PLAIN)]  # of a call; some gateways put much into it
Tier = Annotated[str, Meta(max_length=64)]
Key = Annotated[str, Meta(max_length=512)]
FunctionName = Annotated[
    str, form(r"^[a-zA-Z0-9_-]{1,128}$(?!\n)", "must have 1 to 128 letters, digits, _ or -")
]
Model = Annotated[str, Meta(min_length=1, max_length=4096, pattern=PLAIN)]
Texts = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=4)]
# only the value that changes nothing
Off = Annotated[bool, Meta(extra_json_schema={"const": False})]


class CacheMark(Struct, frozen=True):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


def cache_time(mark: CacheMark | None) -> CacheTime:
    """Return how long the provider may keep what was said up to a mark."""
    return "" if mark is None else mark.ttl or "5m"


class TextPart(Struct, frozen=True, tag="text"):
    """`cache_control`: the end of what the provider should cache, as several gateways take it."""

    text: str
    cache_control: CacheMark | None = None


class ImageUrl(Struct, frozen=True):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Struct, frozen=True, tag="image_url"):
    image_url: ImageUrl


class Audio(Struct, frozen=True):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Struct, frozen=True, tag="input_audio"):
    input_audio: Audio


class File(Struct, frozen=True):
    file_data: str | None = None
    filename: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None
    file_id: str | None = None


class FilePart(Struct, frozen=True, tag="file"):
    file: File


class RefusalPart(Struct, frozen=True, tag="refusal"):
    refusal: str


class FunctionCall(Struct, frozen=True):
    name: FunctionName
    arguments: str


class ToolCall(Struct, frozen=True, kw_only=True):
    id: Id
    type: Literal["function"] = "function"
    function: FunctionCall


Content = str | list[TextPart]


class _Instructions(Struct, frozen=True, kw_only=True, tag_field="role"):
    content: Content
    name: str | None = None


class SystemMessage(_Instructions, frozen=True, tag="system"):
    pass


class DeveloperMessage(_Instructions, frozen=True, tag="developer"):
    pass


class UserMessage(Struct, frozen=True, kw_only=True, tag="user", tag_field="role"):
    content: str | list[TextPart | ImagePart | AudioPart | FilePart]
    name: str | None = None


class AssistantMessage(Struct, frozen=True, kw_only=True, tag="assistant", tag_field="role"):
    """`reasoning_content`: what the model thought, as several providers name it."""

    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: None = None
    name: str | None = None


class ToolMessage(Struct, frozen=True, kw_only=True, tag="tool", tag_field="role"):
    content: Content
    tool_call_id: Id


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Struct, frozen=True, kw_only=True):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True, kw_only=True):
    type: Literal["function"]
    function: Function


class NamedFunction(Struct, frozen=True):
    name: FunctionName


class NamedTool(Struct, frozen=True, tag="function"):
    function: NamedFunction


class AllowedTool(Struct, frozen=True):
    type: Literal["function"]
    function: NamedFunction


class AllowedTools(Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: Annotated[list[AllowedTool], Meta(min_length=1)]


class AllowedToolChoice(Struct, frozen=True, tag="allowed_tools"):
    allowed_tools: AllowedTools


class TextFormat(Struct, frozen=True, tag="text"):
    pass


class ObjectFormat(Struct, frozen=True, tag="json_object"):
    pass


class Schema(Struct, frozen=True, kw_only=True):
    name: FunctionName
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class SchemaFormat(Struct, frozen=True, tag="json_schema"):
    json_schema: Schema


class StreamOptions(Struct, frozen=True, kw_only=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a chat completion. `model`: a peer, `team:NAME`, `@CAPABILITY`, or a line of the grammar.
    The members whose only type is null are known, and not supported."""

    model: Model
    messages: Annotated[list[Message], Meta(min_length=1)]
    # honoured
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | Texts | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | AllowedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | ObjectFormat | SchemaFormat | None = None
    reasoning_effort: Effort | None = None
    # for providers with this API
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: int | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    # accepted, and without effect on the answer
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: Key | None = None
    prompt_cache_retention: Tier | None = None
    prompt_cache_options: dict[str, Any] | None = None
    service_tier: Tier | None = None
    store: bool | None = None
    prediction: dict[str, Any] | None = None
    # only with the value that changes nothing
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    logprobs: Off | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    audio: None = None
    functions: None = None
    function_call: None = None
    web_search_options: None = None
    moderation: None = None


REFUSED: Final = {
    "n": "must be 1; send one request for each answer",
    "logprobs": "not supported",
    "top_logprobs": "not supported",
    "modalities": 'must be ["text"]',
    "audio": "not supported; answers are text",
    "functions": "not supported; use `tools`",
    "function_call": "not supported; use `tool_choice`",
    "web_search_options": "not supported; give the specialist an MCP server that searches",
    "moderation": "not supported",
}
FORWARDED: Final = ("frequency_penalty", "presence_penalty", "logit_bias", "seed", "verbosity")
