"""The tools of the Responses API: as models get them, and the calls of models as items.

Models only know functions. So a custom tool, which takes any text, is a function with one text, and a tool of
a namespace has the name of both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from rhetor.domain import event as ev
from rhetor.domain.given import Choice, GivenTool, arguments_text

from . import openai_responses_body as b
from .asked import UNSUPPORTED, item
from .vendor_errors import refused

MOST_NAME = 64  # characters that all providers take
_INPUT = "input"  # the parameter of a function that stands for a custom tool
_PARAMETERS = {
    "type": "object",
    "properties": {_INPUT: {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": [_INPUT],
    "additionalProperties": False,
}
_SEARCH = "web_search"


class ToolName(Struct, frozen=True):
    """How the client knows a tool. `is_custom`: it takes text instead of arguments."""

    name: str
    namespace: str = ""
    is_custom: bool = False


class Tools(Struct, frozen=True):
    """The tools of a request. `names`: those whose name or kind differs for the model, by its name for the
    model. `shown`: as a response repeats them."""

    given: tuple[GivenTool, ...] = ()
    names: Mapping[str, ToolName] = {}
    choice: Choice = "auto"
    tool: str = ""
    shown: tuple[dict[str, Any], ...] = ()


def tools_of(body: b.ResponsesBody) -> Tools:
    """Return the tools of a request.

    Raises:
        Unprocessable: a tool, or the choice of one, is invalid, or not supported.
        TooManyValues: a tool has too many values.
    """
    raws: Sequence[Any] = body.tools or ()
    found = [(raw, _decoded(raw, f"tools[{n}]")) for n, raw in enumerate(raws)]
    named = [each for n, (_, tool) in enumerate(found) for each in _given(tool, f"tools[{n}]")]
    names = {tool.name: name for tool, name in named}
    if len(names) < len(named):
        raise refused("tools", "two tools have the same name")
    given, choice, tool = _chosen(body.tool_choice, tuple(tool for tool, _ in named), names)
    differing = {name: each for name, each in names.items() if each != ToolName(name)}
    return Tools(given, differing, choice, tool, tuple(_shown(raw, each) for raw, each in found))


def model_name(name: str, namespace: str | None) -> str:
    """Return the name by which a model knows a tool."""
    if not namespace:
        return name
    whole = f"{namespace}__{name}"
    if len(whole) <= MOST_NAME:
        return whole
    return f"{whole[: MOST_NAME - 9]}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def custom_arguments(text: str) -> str:
    """Return the arguments of a call of the function that stands for a custom tool."""
    return msgspec.json.encode({_INPUT: text}).decode()


def call_item(called: ev.ToolCalled, id: str, names: Mapping[str, ToolName]) -> dict[str, Any]:
    """Return the item for a call of one of the client's tools. `id`: of the item, without its prefix."""
    known = names.get(called.name) or ToolName(called.name)
    text = arguments_text(called.arguments)
    space = {"namespace": known.namespace} if known.namespace else {}
    about = {"status": "completed", "call_id": called.call_id, "name": known.name, **space}
    if known.is_custom:
        return {"id": f"ctc_{id}", "type": "custom_tool_call", **about, "input": _input(text)}
    return {"id": f"fc_{id}", "type": "function_call", **about, "arguments": text}


def _input(arguments: str) -> str:
    """Return the text for a custom tool. If a model did not call it with one, it is all that the model gave,
    so that the client can tell the model."""
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    text = found.get(_INPUT) if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def _decoded(raw: Raw, where: str) -> b.Tool:
    kind = item(raw, b.Kind, where).type
    if kind is not None and kind.startswith(_SEARCH):
        raw = Raw(msgspec.json.encode({**item(raw, dict[str, Any], where), "type": _SEARCH}))
    elif kind not in ("function", "custom", "namespace"):
        why = f"tools of the type {kind!r} are not supported; use functions"
        raise refused(f"{where}.type", why, UNSUPPORTED)
    found: b.Tool = item(raw, b.Tool, where)
    return found


def _given(tool: b.Tool, where: str) -> Iterator[tuple[GivenTool, ToolName]]:
    match tool:
        case b.FunctionTool() | b.CustomTool():
            yield _one(tool, "")
        case b.NamespaceTool(name=space, tools=inner):
            for each in inner:
                yield _one(each, space)
        case b.WebSearchTool(external_web_access=bool()):
            pass  # Codex sends it always, according to its sandbox; a model may answer without it
        case _:
            why = "the hub has no web search; give the specialist an MCP server that searches"
            raise refused(f"{where}.type", why, UNSUPPORTED)


def _one(tool: b.FunctionTool | b.CustomTool, space: str) -> tuple[GivenTool, ToolName]:
    name, about = model_name(tool.name, space), tool.description or ""
    known = ToolName(tool.name, space, isinstance(tool, b.CustomTool))
    if isinstance(tool, b.FunctionTool):
        return GivenTool(name, about, tool.parameters or {}, strict=tool.strict), known
    if isinstance(tool.format, b.Grammar):
        grammar = f"The input must match this {tool.format.syntax} grammar:\n{tool.format.definition}"
        about = f"{about}\n\n{grammar}" if about else grammar
    return GivenTool(name, about, _PARAMETERS), known


def _chosen(
    choice: str | Mapping[str, Any] | None, tools: tuple[GivenTool, ...], names: Mapping[str, ToolName]
) -> tuple[tuple[GivenTool, ...], Choice, str]:
    """Return the tools that may be called, how they are used, and the one that must be called."""
    match choice:
        case None | "auto":
            return tools, "auto", ""
        case "none":
            return tools, "none", ""
        case "required":
            if not tools:
                raise refused("tool_choice", "only allowed with `tools`")
            return tools, "required", ""
    assert not isinstance(choice, str)
    if choice.get("type") == "allowed_tools":
        allowed = _converted(choice, b.AllowedTools)
        found = {_known(each, names) for each in allowed.tools}
        return tuple(tool for tool in tools if tool.name in found), allowed.mode, ""
    return tools, "required", _known(_converted(choice, b.NamedTool), names)


def _converted(choice: Mapping[str, Any], kind: Any) -> Any:
    return item(Raw(msgspec.json.encode(choice)), kind, "tool_choice")


def _known(named: b.NamedTool, names: Mapping[str, ToolName]) -> str:
    name = model_name(named.name, named.namespace)
    if name not in names:
        raise refused("tool_choice", f"there is no tool {named.name!r} in `tools`")
    return name


def _shown(raw: Raw, tool: b.Tool) -> dict[str, Any]:
    """Return a tool as a response repeats it: a function with all of its members, as clients expect it."""
    if not isinstance(tool, b.FunctionTool):
        shown: dict[str, Any] = msgspec.json.decode(raw)
        return shown
    about = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", **about, "strict": tool.strict}
