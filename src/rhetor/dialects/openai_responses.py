"""OpenAI's Responses API, and Open Responses: what a request asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rhetor.domain.given import (
    CallOptions,
    GivenConversation,
    GivenMessage,
    KeptWithTurn,
    SaidCall,
    SaidResult,
    SaidText,
)

from . import openai_responses_body as b
from .asked import MISSING, UNSUPPORTED, UNSUPPORTED_VALUE, Asked, decode, require_message
from .openai_responses_items import Referenced, decoded, is_instruction, said
from .openai_responses_tools import ToolName, Tools, tools_of
from .vendor_errors import refused

B = TypeVar("B", bound=Struct)
_NO_ANSWER = "the last item must be the user's message, or the output of a tool"
CONTINUE = "Continue from this summary."  # is the new message if the input ends with a compaction
# the members that may differ in each request of a client
_CHANGING = ("metadata", "previous_response_id")
# the parameters that only a model can honour, with the values that change nothing
_USUAL = (None, "medium")  # of the verbosity
_NEUTRAL: dict[str, Any] = {"max_output_tokens": None, "temperature": 1, "top_p": 1}


class _Undecoded(b.ResponsesBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body whose items and tools are not decoded yet: all of them may be too much for one step."""

    input: str | list[Raw] | None = None  # type: ignore[assignment]
    tools: list[Raw] | None = None  # type: ignore[assignment]


class _Create(_Undecoded, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Literal["response.create"]


class Request(Struct, Generic[B], frozen=True):
    """The body of a request, with the items of its input."""

    body: B
    items: tuple[b.Item, ...]


class Before(Struct, frozen=True):
    """The conversation of the previous response, up to its answer. `system`: the texts of its system and
    developer messages, without its instructions. `referenced`: what items of the request refer to."""

    messages: tuple[GivenMessage, ...] = ()
    system: tuple[SaidText, ...] = ()
    referenced: Referenced = {}


class ResponseAsked(Asked, frozen=True, kw_only=True):
    """`shown`: the members of the response that repeat the request; `names`: the tools that the client knows
    by another name than the model; `encrypted`: the client wants the model's reasoning, to send it back;
    `instructed`: the first of the system texts are its instructions; `conversation`: the session that it
    continues, if it names one."""

    shown: dict[str, Any]
    names: dict[str, ToolName]
    store: bool = True
    background: bool = False
    encrypted: bool = False
    instructed: bool = False
    conversation: str | None = None

    def session_of(self, named: str | None) -> str | None:
        """Return the session that the request continues.

        Raises:
            Unprocessable: the request and its connection name different ones.
        """
        if named and self.conversation not in (None, named):
            raise refused("conversation", "the header x-session-id names another session")
        return self.conversation or named

    @property
    def kept(self) -> KeptWithTurn:
        """What is needed to show the response later."""
        own = {"encrypted": self.encrypted, "instructed": self.instructed}
        if not (self.given.system or self.given.tools):
            return KeptWithTurn({}, {**own, "shown": self.shown})
        changing = {name: self.shown[name] for name in _CHANGING}
        same = {name: value for name, value in self.shown.items() if name not in _CHANGING}
        return KeptWithTurn({"shown": same, "names": self.names}, {**own, "shown": changing})

    @property
    def stored(self) -> KeptWithTurn | UnsetType:
        return self.kept if self.store else UNSET


def request_of(data: bytes | bytearray) -> Request[b.ResponsesBody]:
    """Decode a request.

    Raises:
        Malformed: the body is not JSON.
        Unprocessable: a parameter is unknown, invalid, or not supported; `data["param"]` names it.
        TooManyValues: an item of the input has too many values.
    """
    body = decode(data, _Undecoded, (), b.REFUSED)
    if b.prepares(body):
        name = "generate" if body.generate is False else "prompt_cache_options.prewarm"
        raise refused(name, "a response without an answer is only possible on a WebSocket", UNSUPPORTED_VALUE)
    return with_items(body)


def request_on_socket(data: bytes) -> Request[b.ResponsesBody]:
    """Decode a `response.create` message of a WebSocket.

    Raises:
        Malformed, Unprocessable, TooManyValues: as `request_of`.
    """
    body = decode(data, _Create, (), b.REFUSED)
    if body.background:
        raise refused("background", "not supported on a WebSocket", UNSUPPORTED)
    return with_items(body)


def with_items(body: Any) -> Request[Any]:
    """Return the request with this body, whose `input` has its items undecoded.

    Raises:
        Unprocessable, TooManyValues: as `request_of`.
    """
    items: Sequence[b.Item] = ()
    if isinstance(body.input, str):
        items = (b.MessageItem(role="user", content=body.input),)
    elif body.input is not None:
        items = decoded(body.input)
    return Request(body, tuple(items))


NOTHING_BEFORE = Before()


def asked(request: Request[b.ResponsesBody], before: Before = NOTHING_BEFORE) -> ResponseAsked:
    """Return what a request asks for.

    Raises:
        Unprocessable, TooManyValues: as `request_of`.
    """
    body = request.body
    _check(body)
    tools, found = tools_of(body), said(request.items, before.referenced)
    instructions = (SaidText(body.instructions),) if body.instructions else ()
    ends = bool(request.items) and isinstance(request.items[-1], b.CompactionItem)
    more = (GivenMessage("user", (SaidText(CONTINUE),)),) if ends else ()
    given = GivenConversation(
        before.messages + found.messages + more,
        instructions + before.system + found.system,
        tools.given,
        _options(body, tools),
    )
    named = body.conversation
    if named is not None and given.earlier:
        why = "with `conversation`, send only what is new; the session has what was said before"
        raise refused("input", why)
    if not b.prepares(body):
        if body.input is None:
            raise refused("input", "missing", MISSING)
        _require_message(request.items, given if found.messages else GivenConversation(()))
    return ResponseAsked(
        model=body.model,
        given=given,
        stream=bool(body.stream),
        only_models=tuple(_only_models(body)),
        shown=_shown(body, tools),
        names=dict(tools.names),
        store=body.store is not False,
        background=bool(body.background),
        encrypted=b.ENCRYPTED in (body.include or ()),
        instructed=bool(instructions),
        conversation=named.id if isinstance(named, b.ConversationId) else named,
    )


def _require_message(items: Sequence[b.Item], given: GivenConversation) -> None:
    last = next((each for each in reversed(items) if not is_instruction(each)), None)
    is_users = isinstance(last, b.MessageItem) and last.role == "user"
    require_message(given, "input", is_users, _NO_ANSWER)


def require_calls(given: GivenConversation) -> None:
    """Check that each result of a tool in the new messages answers a call before it.

    Raises:
        Unprocessable: it does not.
    """
    blocks = [block for message in given.messages for block in message.blocks]
    calls = {block.id for block in blocks if isinstance(block, SaidCall)}
    for message in given.new:
        for block in message.blocks:
            if isinstance(block, SaidResult) and block.id not in calls:
                raise refused("input", f"no tool call has the call_id {block.id!r} of this output")


def _check(body: b.ResponsesBody) -> None:
    if body.background and body.store is False:
        raise refused("background", "only allowed with `store: true`")
    if body.conversation is not None and body.previous_response_id is not None:
        raise refused("conversation", "not allowed together with `previous_response_id`")
    if body.conversation is not None and b.prepares(body):
        raise refused("conversation", "not allowed with `generate: false`")
    if body.stream_options is not None and not body.stream:
        raise refused("stream_options", "only allowed with `stream: true`")
    for n, name in enumerate(body.include or ()):
        if name == b.LOGPROBS:
            raise refused(f"include[{n}]", "not supported", UNSUPPORTED)
        if name not in b.INCLUDES:
            raise refused(f"include[{n}]", f"must be one of {', '.join(sorted(b.INCLUDES))}")


def _options(body: b.ResponsesBody, tools: Tools) -> CallOptions:
    text, reasoning = body.text or b.Text(), body.reasoning or b.Reasoning()
    schema = text.format if isinstance(text.format, b.SchemaFormat) else None
    return CallOptions(
        max_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        tool_choice=tools.choice,
        tool=tools.tool,
        parallel_calls=body.parallel_tool_calls,
        schema=None if schema is None else schema.schema,
        schema_name="" if schema is None else schema.name,
        schema_strict=None if schema is None else schema.strict,
        json=isinstance(text.format, b.ObjectFormat),
        effort=reasoning.effort or "",
        more={} if text.verbosity in _USUAL else {"verbosity": text.verbosity},
    )


def _only_models(body: b.ResponsesBody) -> Iterator[str]:
    """Yield the parameters that ask for something which only a model can do."""
    for name, neutral in _NEUTRAL.items():
        if getattr(body, name) not in (None, neutral):
            yield name
    if body.reasoning is not None and body.reasoning.effort:
        yield "reasoning.effort"
    if body.text is not None and body.text.verbosity not in _USUAL:
        yield "text.verbosity"
    if body.text is not None and isinstance(body.text.format, b.ObjectFormat):
        yield "text.format"


def _shown(body: b.ResponsesBody, tools: Tools) -> dict[str, Any]:
    text, reasoning = body.text or b.Text(), body.reasoning or b.Reasoning()
    format = text.format or b.TextFormat()
    return {
        "background": bool(body.background),
        "frequency_penalty": 0.0,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "model": body.model,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "presence_penalty": 0.0,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary or reasoning.generate_summary},
        "safety_identifier": body.safety_identifier,
        "service_tier": body.service_tier if body.service_tier not in (None, "auto") else "default",
        "store": body.store is not False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {"format": _format(format), "verbosity": text.verbosity or "medium"},
        "tool_choice": body.tool_choice or "auto",
        "tools": list(tools.shown),
        "top_logprobs": 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": body.truncation or "disabled",
        **({"user": body.user} if body.user else {}),
    }


def _format(format: b.TextFormat | b.ObjectFormat | b.SchemaFormat) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(format)
    if isinstance(format, b.SchemaFormat):
        shown["strict"] = bool(format.strict)
    return shown
