"""Anthropic's Messages API: what a request asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from rhetor.domain.given import (
    INVALID_JSON,
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

from . import anthropic_messages_body as b
from .asked import (
    MISSING,
    NO_FILES,
    UNKNOWN,
    UNSUPPORTED,
    Asked,
    base64_of,
    decode,
    item,
    part_of,
    require_message,
    with_users_joined,
)
from .openai_chat_body import cache_time
from .vendor_errors import refused

LISTS = ("messages", "tools")
# the parameters that only a model can honour; `max_tokens` must be in each request, whoever answers
_SAMPLING = ("temperature", "top_p", "top_k")
_ONLY_MODELS = (*_SAMPLING, "stop_sequences")
OLD_VERSION, VERSION = "2023-06-01", "2026-10-21"  # of the API, as the header `anthropic-version` names them
_WITH_SAMPLING = frozenset({"2023-01-01", OLD_VERSION})
VERSIONS = _WITH_SAMPLING | {VERSION}
_OWN_TYPES = frozenset({"text", "tool_use"})
_OF_THE_USER = frozenset({"image", "document", "tool_result", "search_result"})
_THE_USERS = "the last message must be the user's"


def asked(data: bytes | bytearray, betas: Sequence[str] = (), version: str = OLD_VERSION) -> Asked:
    """Return what a request asks for. `betas` and `version`: what its headers name.

    Raises:
        Malformed: the body is not JSON.
        Unprocessable: a parameter is unknown, invalid, or not supported; `data["param"]` names it.
        TooManyValues: a message or a tool has too many values.
    """
    body = decode(data, b.MessagesBody, LISTS, b.REFUSED)
    if version not in _WITH_SAMPLING:
        for name in _SAMPLING:
            if getattr(body, name) is not None:
                raise refused(name, f"version {version} of the API has no such parameter", UNKNOWN)
    return Asked(
        model=body.model,
        given=_given(body, _options(body, betas)),
        stream=bool(body.stream),
        only_models=tuple(_only_models(body)),
    )


def counted(data: bytes | bytearray, betas: Sequence[str] = (), version: str = OLD_VERSION) -> Asked:
    """Return the conversation whose tokens a request asks for; it is the same in all versions.

    Raises:
        Malformed, Unprocessable, TooManyValues: as `asked`.
    """
    body = decode(data, b.CountBody, LISTS, b.REFUSED)
    return Asked(model=body.model, given=_given(body, _shared_options(body, betas)))


def _given(body: b.CountBody, options: CallOptions) -> GivenConversation:
    raws: Sequence[Any] = body.messages
    messages = [item(raw, b.Message, f"messages[{n}]") for n, raw in enumerate(raws)]
    if not messages:
        raise refused("messages", "must have at least one message")
    tools: Sequence[Any] = body.tools or ()
    given = GivenConversation(
        tuple(with_users_joined(_conversation(messages))),
        (*_texts(body.system or ()), *_system(messages)),
        tuple(_tool(raw, f"tools[{n}]") for n, raw in enumerate(tools)),
        options,
    )
    last = next((each for each in reversed(messages) if not isinstance(each, b.SystemMessage)), None)
    if isinstance(last, b.AssistantMessage):
        raise refused("messages", f"{_THE_USERS}; you cannot prefill the answer", UNSUPPORTED)
    require_message(given, "messages", last is not None, _THE_USERS)
    if options.tool and all(tool.name != options.tool for tool in given.tools):
        raise refused("tool_choice", f"there is no tool {options.tool!r} in `tools`")
    if options.tool_choice == "required" and not given.tools:
        raise refused("tool_choice", "only allowed with `tools`")
    return given


def _system(messages: Sequence[b.Message]) -> Iterator[SaidText]:
    """Yield the texts of the system messages, wherever they are in the conversation."""
    for message in messages:
        if isinstance(message, b.SystemMessage):
            yield from _texts(message.content)


def _conversation(messages: Sequence[b.Message]) -> Iterator[GivenMessage]:
    """Yield the messages of the user and the assistant."""
    for n, message in enumerate(messages):
        where = f"messages[{n}].content"
        match message:
            case b.UserMessage(content=content):
                yield GivenMessage("user", tuple(_user(content, where)))
            case b.AssistantMessage(content=content):
                yield GivenMessage("assistant", tuple(_assistant(content, where)))


def _texts(content: str | Sequence[b.TextBlock]) -> Iterator[SaidText]:
    if isinstance(content, str):
        yield SaidText(content)
        return
    for block in content:
        yield SaidText(block.text, cache_time(block.cache_control))


def _user(content: str | Sequence[b.UserBlock], where: str) -> Iterator[Block]:
    if isinstance(content, str):
        yield SaidText(content)
        return
    for n, block in enumerate(content):
        at = f"{where}[{n}]"
        if not isinstance(block, b.ToolResultBlock):
            yield from _part(block, at)
            continue
        found = block.content or ()
        inner = (
            [SaidText(found)]
            if isinstance(found, str)
            else [each for m, part in enumerate(found) for each in _part(part, f"{at}.content[{m}]")]
        )
        yield SaidResult(
            block.tool_use_id, tuple(inner), bool(block.is_error), cache_time(block.cache_control)
        )


def _part(block: b.TextBlock | b.ImageBlock | b.DocumentBlock, where: str) -> Iterator[SaidText | SaidPart]:
    cache, source = cache_time(block.cache_control), f"{where}.source"
    match block:
        case b.TextBlock(text):
            yield SaidText(text, cache)
        case b.ImageBlock(given):
            yield SaidPart(_content(given, source, "image"), cache)
        case b.DocumentBlock(given, title, context):
            if heading := "\n".join(filter(None, (title, context))):
                yield SaidText(heading)
            if isinstance(given, b.TextSource):
                yield SaidText(given.data, cache)
            else:
                yield SaidPart(_content(given, source, "file", title or ""), cache)


def _content(
    source: b.Base64Source | b.UrlSource | b.FileSource, where: str, kind: Any, name: str = ""
) -> GivenPart:
    match source:
        case b.Base64Source(media_type, data):
            return GivenPart(kind, media_type, name[:200], data=base64_of(data, f"{where}.data"))
        case b.UrlSource(url):
            return part_of(url, f"{where}.url", kind, name=name[:200])
    raise refused(f"{where}.file_id", NO_FILES, UNSUPPORTED)


def _assistant(content: str | Sequence[Raw], where: str) -> Iterator[Block]:
    if isinstance(content, str):
        yield SaidText(content)
        return
    for n, raw in enumerate(content):
        kind = item(raw, b.BlockType, f"{where}[{n}]").type
        if kind in _OF_THE_USER:
            raise refused(f"{where}[{n}].type", f"an assistant's message has no {kind} block")
        if kind not in _OWN_TYPES:
            data: dict[str, Any] = item(raw, dict[str, Any], f"{where}[{n}]")
            yield SaidReasoning(str(data.get("thinking", "")), "anthropic", data)
            continue
        block: b.AssistantBlock = item(raw, b.AssistantBlock, f"{where}[{n}]")
        if isinstance(block, b.TextBlock):
            yield SaidText(block.text, cache_time(block.cache_control))
        else:
            yield SaidCall(block.id, block.name, _arguments(block.input), cache_time(block.cache_control))


def _arguments(input: b.Object) -> str:
    """Return the arguments of a call as the model wrote them, if they were not a JSON object."""
    text = input.get(INVALID_JSON)
    if len(input) == 1 and isinstance(text, str):
        return text
    return msgspec.json.encode(input).decode()


def _tool(raw: Raw, where: str) -> GivenTool:
    tool: b.Tool = item(raw, b.Tool, where)
    if tool.type not in (None, "custom"):
        return GivenTool(tool.name or "", raw=item(raw, dict[str, Any], where))
    if tool.name is None or tool.input_schema is None:
        raise refused(f"{where}.{'name' if tool.name is None else 'input_schema'}", "missing", MISSING)
    return GivenTool(
        tool.name,
        tool.description or "",
        tool.input_schema,
        strict=tool.strict,
        cache=cache_time(tool.cache_control),
    )


def _options(body: b.MessagesBody, betas: Sequence[str]) -> CallOptions:
    shared = _shared_options(body, betas)
    return msgspec.structs.replace(
        shared,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        stop=tuple(body.stop_sequences or ()),
    )


def _shared_options(body: b.CountBody, betas: Sequence[str]) -> CallOptions:
    config = body.output_config or b.OutputConfig()
    format = config.format or body.output_format
    choice, tool, parallel = _choice(body)
    return CallOptions(
        "anthropic",
        tool_choice=choice,
        tool=tool,
        parallel_calls=parallel,
        schema=None if format is None else format.schema,
        effort=config.effort or "",
        thinking_tokens=_thinking_tokens(body),
        more=_more(body, betas),
    )


def _thinking_tokens(body: b.CountBody) -> int | None:
    match body.thinking:
        case b.EnabledThinking(budget):
            return budget
        case b.DisabledThinking():
            return 0
    return None


def _choice(body: b.CountBody) -> tuple[Choice, str, bool | None]:
    """Return how tools are used, the one that must be called, and whether there may be several calls."""
    match body.tool_choice:
        case None:
            return "auto", "", None
        case b.NoChoice():
            return "none", "", None
        case b.AutoChoice(alone):
            return "auto", "", _parallel(alone)
        case b.AnyChoice(alone):
            return "required", "", _parallel(alone)
        case b.NamedChoice(name, alone):
            return "required", name, _parallel(alone)


def _parallel(alone: bool | None) -> bool | None:
    return None if alone is None else not alone


def _more(body: b.CountBody, betas: Sequence[str]) -> dict[str, Any]:
    """Return what only providers with this API understand, as the client gave it."""
    found = {name: getattr(body, name, None) for name in b.FORWARDED}
    named = list(dict.fromkeys((*betas, *(body.betas or ()))))
    found["betas"] = named or None
    if isinstance(body.thinking, b.AdaptiveThinking):
        found["thinking"] = _members(body.thinking)
    if body.output_config is not None and body.output_config.task_budget is not None:
        found["output_config"] = {"task_budget": body.output_config.task_budget}
    return {
        name: _members(value) if isinstance(value, msgspec.Struct) else value
        for name, value in found.items()
        if value is not None
    }


def _members(value: msgspec.Struct) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(value)
    return {name: member for name, member in built.items() if member is not None}


def _only_models(body: b.MessagesBody) -> Iterator[str]:
    for name in _ONLY_MODELS:
        if getattr(body, name) not in (None, [], 0 if name == "top_k" else 1):
            yield name
    if body.output_format is not None:
        yield "output_format"
    if body.output_config is not None and body.output_config.format is not None:
        yield "output_config.format"
