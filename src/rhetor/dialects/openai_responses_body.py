"""The request body of OpenAI's Responses API (`POST /v1/responses`), and of Open Responses."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from rhetor.codec.forms import PLAIN

from .openai_chat_body import Effort, FunctionName, Key, Model, Tier

Id = Annotated[str, Meta(min_length=1, max_length=512, pattern=PLAIN)]
Verbosity = Literal["low", "medium", "high"]


class CacheBreakpoint(Struct, frozen=True):
    mode: Literal["explicit"]
    ttl: Literal["30m", "12h"] | None = None


class InputText(Struct, frozen=True, tag="input_text"):
    """`prompt_cache_breakpoint`: the end of what the provider should cache."""

    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class OutputText(Struct, frozen=True, tag="output_text"):
    text: str


class Refusal(Struct, frozen=True, tag="refusal"):
    refusal: str


class InputImage(Struct, frozen=True, tag="input_image"):
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(Struct, frozen=True, tag="input_file"):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None


class Audio(Struct, frozen=True):
    data: str
    format: Literal["wav", "mp3"]


class InputAudio(Struct, frozen=True, tag="input_audio"):
    input_audio: Audio


Content = InputText | OutputText | Refusal | InputImage | InputFile | InputAudio
Result = str | list[InputText | InputImage | InputFile]


class MessageItem(Struct, frozen=True, kw_only=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Content]


class FunctionCallItem(Struct, frozen=True, kw_only=True):
    call_id: Id
    name: FunctionName
    arguments: str
    namespace: FunctionName | None = None


class CustomCallItem(Struct, frozen=True, kw_only=True):
    call_id: Id
    name: FunctionName
    input: str
    namespace: FunctionName | None = None


class CallOutputItem(Struct, frozen=True, kw_only=True):
    call_id: Id
    output: Result


class ReasoningText(Struct, frozen=True):
    text: str


class ReasoningItem(Struct, frozen=True, kw_only=True):
    id: str | None = None
    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class ItemReference(Struct, frozen=True, kw_only=True):
    id: Id


class CompactionItem(Struct, frozen=True, kw_only=True):
    encrypted_content: Annotated[str, Meta(min_length=1, max_length=10 << 20)]


Item = (
    MessageItem
    | FunctionCallItem
    | CustomCallItem
    | CallOutputItem
    | ReasoningItem
    | ItemReference
    | CompactionItem
)
ITEMS: Final[dict[str, type[Item]]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": CallOutputItem,
    "custom_tool_call": CustomCallItem,
    "custom_tool_call_output": CallOutputItem,
    "reasoning": ReasoningItem,
    "item_reference": ItemReference,
    "compaction": CompactionItem,
    "compaction_summary": CompactionItem,  # as Codex names it
}


class Kind(Struct, frozen=True):
    """What an item says about its type: a message may leave it out, and a reference may have none."""

    type: str | None = None
    role: str | None = None


class FunctionTool(Struct, frozen=True, kw_only=True, tag="function"):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Grammar(Struct, frozen=True, tag="grammar"):
    syntax: Literal["lark", "regex"]
    definition: str


class AnyText(Struct, frozen=True, tag="text"):
    pass


class CustomTool(Struct, frozen=True, kw_only=True, tag="custom"):
    name: FunctionName
    description: str | None = None
    format: AnyText | Grammar | None = None


class NamespaceTool(Struct, frozen=True, kw_only=True, tag="namespace"):
    name: FunctionName
    description: str | None = None
    tools: list[FunctionTool | CustomTool]


class WebSearchTool(Struct, frozen=True, kw_only=True, tag="web_search"):
    external_web_access: bool | None = None


Tool = FunctionTool | CustomTool | NamespaceTool | WebSearchTool


class NamedTool(Struct, frozen=True, kw_only=True):
    """A tool as `tool_choice` names it."""

    type: Literal["function", "custom"]
    name: FunctionName
    namespace: FunctionName | None = None


class AllowedTools(Struct, frozen=True, kw_only=True, tag="allowed_tools"):
    tools: Annotated[list[NamedTool], Meta(min_length=1)]
    mode: Literal["auto", "required"] = "auto"


class TextFormat(Struct, frozen=True, tag="text"):
    pass


class ObjectFormat(Struct, frozen=True, tag="json_object"):
    pass


class SchemaFormat(Struct, frozen=True, kw_only=True, tag="json_schema"):
    name: FunctionName
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class Text(Struct, frozen=True, kw_only=True):
    format: TextFormat | ObjectFormat | SchemaFormat | None = None
    verbosity: Verbosity | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: str | None = None


class StreamOptions(Struct, frozen=True, kw_only=True):
    include_obfuscation: bool | None = None


class Image(Struct, frozen=True, kw_only=True):
    context_compression: Literal["auto", "disabled"] | None = None


class ConversationId(Struct, frozen=True):
    id: Id


Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class ResponsesBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a response. `model`: a peer, `team:NAME`, `@CAPABILITY`, or a line of the grammar. The
    members whose only type is null are known, and not supported."""

    model: Model
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    previous_response_id: Id | None = None
    conversation: Id | ConversationId | None = None
    # honoured
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: Metadata | None = None
    include: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=20)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    generate: bool | None = None
    # accepted, and without effect on the answer
    client_metadata: dict[str, str] | None = None
    image: Image | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    prompt_cache_key: Key | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Tier | None = None
    safety_identifier: str | None = None
    service_tier: Tier | None = None
    stream_options: StreamOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    # only with the value that changes nothing
    frequency_penalty: Annotated[float, Meta(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Meta(ge=0, le=0)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=0)] | None = None
    access_programs: None = None
    context_management: Annotated[list[Any], Meta(max_length=0)] | None = None
    moderation: None = None
    prompt: None = None
    stream_id: None = None


def prepares(body: ResponsesBody) -> bool:
    """Return whether the client asks for no answer, but will continue with the id of the response."""
    return body.generate is False or bool((body.prompt_cache_options or {}).get("prewarm"))


REFUSED: Final = {
    "top_logprobs": "not supported",
    "frequency_penalty": "must be 0",
    "presence_penalty": "must be 0",
    "access_programs": "not supported",
    "context_management": "not supported; shorten the conversation in the client",
    "moderation": "not supported",
    "prompt": "not supported; send its text as `instructions`",
    "stream_id": "not supported; open one WebSocket for each stream",
}
ENCRYPTED: Final = "reasoning.encrypted_content"
IMAGE_URLS: Final = "message.input_image.image_url"
LOGPROBS: Final = "message.output_text.logprobs"
INCLUDES: Final = frozenset(
    {
        ENCRYPTED,
        IMAGE_URLS,
        # of tools that never run here
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)
