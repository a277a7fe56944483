"""OpenAI's Chat Completions API: what a request asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw

from rhetor.domain.given import (
    Block,
    CallOptions,
    Choice,
    GivenConversation,
    GivenMessage,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.domain.parts import GivenPart

from . import openai_chat_body as b
from .asked import (
    MISSING,
    NO_FILES,
    UNSUPPORTED,
    Asked,
    base64_of,
    decode,
    item,
    part_of,
    require_message,
    with_users_joined,
)
from .vendor_errors import refused

# the parameters that only a model can honour
_ONLY_MODELS = (
    *("max_completion_tokens", "max_tokens", "temperature", "top_p", "stop", "reasoning_effort"),
    *b.FORWARDED,
)
_EMPTY: tuple[Any, ...] = (None, {}, [], "")
_NEUTRAL: dict[str, Any] = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
_INSTRUCTIONS = b.SystemMessage | b.DeveloperMessage
_NO_ANSWER = "the last message must be the user's, or the result of a tool"


class ChatAsked(Asked, frozen=True, kw_only=True):
    """`include_usage`: the client wants the tokens at the end of the stream."""

    include_usage: bool = False


def asked(data: bytes | bytearray) -> ChatAsked:
    """Return what a request asks for.

    Raises:
        Malformed: the body is not JSON.
        Unprocessable: a parameter is unknown, invalid, or not supported; `data["param"]` names it.
        TooManyValues: a message or a tool has too many values.
    """
    body = decode(data, b.ChatBody, ("messages", "tools"), b.REFUSED)
    _check(body)
    messages = _messages(body.messages)  # type: ignore[arg-type]  # items that are not decoded
    tools, choice, tool = _tools(body)
    given = GivenConversation(
        tuple(with_users_joined(_conversation(messages))),
        tuple(_system(messages)),
        tools,
        _options(body, choice, tool),
    )
    last = next((each for each in reversed(messages) if not isinstance(each, _INSTRUCTIONS)), None)
    require_message(given, "messages", isinstance(last, b.UserMessage | b.ToolMessage), _NO_ANSWER)
    return ChatAsked(
        model=body.model,
        given=given,
        stream=bool(body.stream),
        only_models=_only_models(body),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
    )


def _check(body: b.ChatBody) -> None:
    if body.logprobs:
        raise refused("logprobs", b.REFUSED["logprobs"], UNSUPPORTED)
    if body.stream_options is not None and not body.stream:
        raise refused("stream_options", "only allowed with `stream: true`")
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise refused("max_tokens", "not allowed with max_completion_tokens")


def _messages(raws: Sequence[Raw] | None) -> list[b.Message]:
    found = [item(raw, b.Message, f"messages[{n}]") for n, raw in enumerate(raws or ())]
    if not found:
        raise refused("messages", "must have at least one message")
    return found


def _system(messages: Sequence[b.Message]) -> Iterator[SaidText]:
    """Yield the texts of the system and developer messages, wherever they are in the conversation."""
    for message in messages:
        if isinstance(message, b.SystemMessage | b.DeveloperMessage):
            yield from _texts(message.content)


def _conversation(messages: Sequence[b.Message]) -> Iterator[GivenMessage]:
    """Yield the messages of the user and the assistant."""
    for n, message in enumerate(messages):
        match message:
            case b.UserMessage(content=content):
                yield GivenMessage("user", tuple(_user(content, f"messages[{n}].content")))
            case b.ToolMessage():
                result = SaidResult(message.tool_call_id, tuple(_texts(message.content)))
                yield GivenMessage("user", (result,))
            case b.AssistantMessage():
                yield GivenMessage("assistant", tuple(_assistant(message)))


def _texts(content: str | Sequence[b.TextPart]) -> Iterator[SaidText]:
    if isinstance(content, str):
        yield SaidText(content)
        return
    for part in content:
        yield SaidText(part.text, b.cache_time(part.cache_control))


def _user(content: str | Sequence[Any], where: str) -> Iterator[Block]:
    if isinstance(content, str):
        yield SaidText(content)
        return
    for n, part in enumerate(content):
        if isinstance(part, b.TextPart):
            yield SaidText(part.text, b.cache_time(part.cache_control))
        else:
            yield SaidPart(_part(part, f"{where}[{n}]"))


def _part(part: b.ImagePart | b.AudioPart | b.FilePart, where: str) -> GivenPart:
    match part:
        case b.ImagePart(image_url=image):
            return part_of(image.url, f"{where}.image_url.url", "image")
        case b.AudioPart(input_audio=audio):
            media_type = "audio/wav" if audio.format == "wav" else "audio/mpeg"
            content = base64_of(audio.data, f"{where}.input_audio.data")
            return GivenPart("audio", media_type, data=content)
        case b.FilePart(file=file):
            return _file(file, f"{where}.file")


def _file(file: b.File, where: str) -> GivenPart:
    if file.file_id is not None:
        raise refused(f"{where}.file_id", NO_FILES, UNSUPPORTED)
    if file.file_data is None:
        raise refused(f"{where}.file_data", "missing", MISSING)
    if file.file_data.startswith(("data:", "http://", "https://")):
        return part_of(file.file_data, f"{where}.file_data", name=file.filename or "")
    return GivenPart("file", name=file.filename or "", data=base64_of(file.file_data, f"{where}.file_data"))


def _assistant(message: b.AssistantMessage) -> Iterator[Block]:
    if message.reasoning_content:
        yield SaidReasoning(message.reasoning_content)
    if isinstance(message.content, str):
        yield SaidText(message.content)
    for part in message.content or () if not isinstance(message.content, str) else ():
        if isinstance(part, b.TextPart):
            yield SaidText(part.text, b.cache_time(part.cache_control))
        else:
            yield SaidText(part.refusal)
    if message.refusal:
        yield SaidText(message.refusal)
    for call in message.tool_calls or ():
        yield SaidCall(call.id, call.function.name, call.function.arguments)


def _tools(body: b.ChatBody) -> tuple[tuple[GivenTool, ...], Choice, str]:
    """Return the tools, how they are used, and the one that must be called."""
    raws: Sequence[Any] = body.tools or ()
    tools = tuple(_tool(item(raw, b.Tool, f"tools[{n}]").function) for n, raw in enumerate(raws))
    match body.tool_choice:
        case b.NamedTool(function=function):
            return tools, "required", _known(function.name, tools, "tool_choice")
        case b.AllowedToolChoice(allowed_tools=allowed):
            names = {_known(each.function.name, tools, "tool_choice") for each in allowed.tools}
            return tuple(tool for tool in tools if tool.name in names), allowed.mode, ""
        case None:
            return tools, "auto", ""
        case choice:
            if choice == "required" and not tools:
                raise refused("tool_choice", "only allowed with `tools`")
            return tools, choice, ""


def _tool(function: b.Function) -> GivenTool:
    return GivenTool(
        function.name, function.description or "", function.parameters or {}, strict=function.strict
    )


def _known(name: str, tools: Sequence[GivenTool], where: str) -> str:
    if all(tool.name != name for tool in tools):
        raise refused(where, f"there is no tool {name!r} in `tools`")
    return name


def _options(body: b.ChatBody, choice: Choice, tool: str) -> CallOptions:
    format = body.response_format
    schema = format.json_schema if isinstance(format, b.SchemaFormat) else None
    stop = body.stop or ()
    return CallOptions(
        max_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        tool_choice=choice,
        tool=tool,
        parallel_calls=body.parallel_tool_calls,
        schema=None if schema is None else schema.schema or {"type": "object"},
        schema_name="" if schema is None else schema.name,
        schema_strict=None if schema is None else schema.strict,
        json=isinstance(format, b.ObjectFormat),
        effort=body.reasoning_effort or "",
        more={name: getattr(body, name) for name in _set_of(body, b.FORWARDED)},
    )


def _only_models(body: b.ChatBody) -> tuple[str, ...]:
    """Return the parameters that only a model can honour. An agent may answer by a schema, but not with just
    any JSON."""
    found = _set_of(body, _ONLY_MODELS)
    return (*found, "response_format") if isinstance(body.response_format, b.ObjectFormat) else tuple(found)


def _set_of(body: b.ChatBody, names: Sequence[str]) -> list[str]:
    """Return those of the parameters that have a value other than OpenAI's default."""
    given = [(name, getattr(body, name)) for name in names]
    return [name for name, value in given if value not in _EMPTY and value != _NEUTRAL.get(name)]
