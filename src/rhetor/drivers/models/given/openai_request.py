"""A given conversation as a request for chat completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rhetor.domain.given import (
    Block,
    GivenConversation,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.drivers.models.given.names import ToolNames
from rhetor.drivers.models.given.openai_options import is_openai, options
from rhetor.drivers.models.given.parts import Contents, openai_block
from rhetor.drivers.models.given.refusals import unsupported
from rhetor.drivers.models.given.sides import sides, system_texts
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.urls import host_of, is_loopback

PATH = "/chat/completions"
# hosts whose models need their reasoning again while they call tools
_REASONING_HOSTS = ("deepseek.com", "moonshot.ai", "moonshot.cn", "z.ai", "bigmodel.cn", "xiaomimimo.com")


def body(target: Target, prompt: str, given: GivenConversation, contents: Contents) -> dict[str, Any]:
    """Return the body of the request. `prompt`: the peer's own, which comes before the client's.

    Raises:
        InputUnsupported: the conversation or an option cannot be sent to this model.
    """
    encoder = _Encoder(target, given, contents)
    return {
        "model": target.model,
        "messages": [*encoder.system(prompt), *encoder.messages()],
        "stream": True,
        "stream_options": {"include_usage": True},
        **encoder.tools(),
        **options(target, given.options),
    }


class _Encoder:
    """Encodes one conversation."""

    def __init__(self, target: Target, given: GivenConversation, contents: Contents) -> None:
        self._target = target
        self._given = given
        self._contents = contents
        self._names = ToolNames(tool.name for tool in given.tools)
        provider = target.provider
        self._marks = provider.kind == "openrouter"  # which passes them on
        # servers that are not a vendor's own often take only strings
        self._joins = not (is_openai(provider) or self._marks)
        url = provider.base_url
        self._reasons = is_loopback(url) or host_of(url).endswith(_REASONING_HOSTS)

    def system(self, prompt: str) -> Iterator[dict[str, Any]]:
        """Yield the message with the peer's prompt and the client's. Many servers take only one."""
        texts = system_texts(self._given, prompt, at_anthropic=False)
        if any(each.cache for each in texts) and self._marks:
            yield {"role": "system", "content": [self._text(each) for each in texts]}
        elif texts:
            yield {"role": "system", "content": "\n\n".join(each.text for each in texts)}

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages of the conversation."""
        for role, blocks in sides(self._target, self._given.messages, self._keeps):
            if role == "assistant":
                yield self._assistant(blocks)
            else:
                yield from self._user(blocks)

    def tools(self) -> dict[str, Any]:
        """Return the members that describe the client's tools."""
        given, options = self._given, self._given.options
        if not given.tools:
            return {}
        tools = [self._tool(tool) for tool in given.tools]
        if options.tool:
            choice: Any = {"type": "function", "function": {"name": self._names.sent(options.tool)}}
        else:
            choice = options.tool_choice
        found: dict[str, Any] = {"tools": tools}
        if choice != "auto":
            found["tool_choice"] = choice
        if options.parallel_calls is not None:
            found["parallel_tool_calls"] = options.parallel_calls
        return found

    def _tool(self, tool: GivenTool) -> dict[str, Any]:
        if tool.raw is not None:
            kind = str(tool.raw.get("type") or tool.name)
            if self._given.options.vendor != "openai" or is_openai(self._target.provider):
                why = f"cannot use the tool {tool.name or kind!r} ({kind}): its API has only functions"
                raise unsupported(self._target, "tools", why)
            return tool.raw
        function: dict[str, Any] = {"name": self._names.sent(tool.name)}
        if tool.description:
            function["description"] = tool.description
        if tool.parameters:
            function["parameters"] = tool.parameters
        if tool.strict is not None and self._given.options.vendor == "openai":
            function["strict"] = tool.strict
        return {"type": "function", "function": function}

    def _keeps(self, block: Block) -> bool:
        if isinstance(block, SaidText):
            return bool(block.text)
        if isinstance(block, SaidReasoning):
            return bool(self._details(block) or (self._reasons and block.text))
        return True

    def _details(self, block: SaidReasoning) -> Any:
        is_own = block.vendor == "openai" and self._target.provider.kind == "openrouter"
        return block.data.get("reasoning_details") if is_own else None

    def _assistant(self, blocks: Sequence[Block]) -> dict[str, Any]:
        texts = [block for block in blocks if isinstance(block, SaidText)]
        calls = [block for block in blocks if isinstance(block, SaidCall)]
        message: dict[str, Any] = {"role": "assistant", "content": self._content(texts) or None}
        if calls:
            message["tool_calls"] = [self._call(call) for call in calls]
        thoughts = [block for block in blocks if isinstance(block, SaidReasoning)]
        if details := [each for block in thoughts for each in self._details(block) or ()]:
            message["reasoning_details"] = details
        elif thoughts and calls:
            message["reasoning_content"] = "".join(block.text for block in thoughts)
        if message["content"] is None and not calls:
            message["content"] = ""
        return message

    def _call(self, call: SaidCall) -> dict[str, Any]:
        function = {"name": self._names.sent(call.name), "arguments": call.arguments or "{}"}
        return {"id": call.id, "type": "function", "function": function}

    def _user(self, blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
        """Yield a message for each result, and one for the rest. Results have only text in this API, so that
        other parts of them follow in the user's own message."""
        own: list[SaidText | SaidPart] = []
        for block in blocks:
            if isinstance(block, SaidResult):
                yield {"role": "tool", "tool_call_id": block.id, "content": self._result(block)}
                if parts := [each for each in block.content if isinstance(each, SaidPart)]:
                    own += [SaidText(f"[From the result of {block.id}:]"), *parts]
            elif isinstance(block, SaidText | SaidPart):
                own.append(block)
        if own:
            yield {"role": "user", "content": self._content(own)}

    def _result(self, result: SaidResult) -> str:
        texts = [each.text for each in result.content if isinstance(each, SaidText)]
        if any(isinstance(each, SaidPart) for each in result.content):
            texts.append("[More of this result follows in the next message of the user.]")
        return "\n".join(texts)

    def _content(self, said: Sequence[SaidText | SaidPart]) -> Any:
        texts = [each for each in said if isinstance(each, SaidText)]
        is_marked = self._marks and any(each.cache for each in said)
        if len(texts) == len(said) and not is_marked and (self._joins or len(texts) < 2):
            return "\n\n".join(each.text for each in texts)
        return [
            self._text(each) if isinstance(each, SaidText) else openai_block(each.part, self._contents)
            for each in said
        ]

    def _text(self, said: SaidText) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": said.text}
        if said.cache and self._marks:
            ttl = {"ttl": said.cache} if said.cache == "1h" else {}
            block["cache_control"] = {"type": "ephemeral", **ttl}
        return block
