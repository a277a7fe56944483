"""A given conversation as a request of the Messages API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rhetor.domain.given import (
    Block,
    CacheTime,
    GivenConversation,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.drivers.models.given.anthropic_options import options
from rhetor.drivers.models.given.arguments import as_object
from rhetor.drivers.models.given.names import ToolNames
from rhetor.drivers.models.given.parts import Contents, anthropic_block
from rhetor.drivers.models.given.refusals import unsupported
from rhetor.drivers.models.given.sides import Side, sides, system_texts
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.urls import host_of

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
_ANTHROPIC = "api.anthropic.com"
_NO_START = "[The beginning of the conversation is not included.]"
_THINKING = ("thinking", "redacted_thinking")
# what a count of tokens depends on
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")


def body(target: Target, prompt: str, given: GivenConversation, contents: Contents) -> dict[str, Any]:
    """Return the body of the request. `prompt`: the peer's own, which comes before the client's.

    Raises:
        InputUnsupported: the conversation or an option cannot be sent to this model.
    """
    encoder = _Encoder(target, given, contents)
    found = {
        "model": target.model,
        "messages": encoder.messages(),
        "stream": True,
        **encoder.system(prompt),
        **encoder.tools(),
        **options(target, given.options),
    }
    if encoder.lacks_thinking and found.get("thinking", {}).get("type") == "enabled":
        del found["thinking"]  # rejected if the calls just before were made without it
    return found


def counted(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the request that counts the tokens of another request."""
    return {name: found[name] for name in _COUNTED if name in found}


class _Encoder:
    """Encodes one conversation. `lacks_thinking`: the calls just before were made without thinking."""

    def __init__(self, target: Target, given: GivenConversation, contents: Contents) -> None:
        self.lacks_thinking = False
        self._target = target
        self._given = given
        self._contents = contents
        self._names = ToolNames(tool.name for tool in given.tools)
        self._is_anthropic = host_of(target.provider.base_url) == _ANTHROPIC

    def system(self, prompt: str) -> dict[str, Any]:
        """Return the member with the peer's prompt and the client's."""
        texts = system_texts(self._given, prompt, at_anthropic=self._is_anthropic)
        if len(texts) == 1 and not texts[0].cache:
            return {"system": texts[0].text}
        return {"system": [_text(each) for each in texts]} if texts else {}

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages of the conversation."""
        found = sides(self._target, self._given.messages, self._keeps)
        if not found:
            why = "does not take a conversation without text"
            raise unsupported(self._target, "messages", why, "write something", "invalid_value")
        if found[0][0] == "assistant":
            found.insert(0, ("user", [SaidText(_NO_START)]))
        self.lacks_thinking = _lacks_thinking(found)
        return [{"role": role, "content": self._content(blocks)} for role, blocks in found]

    def tools(self) -> dict[str, Any]:
        """Return the members that describe the client's tools."""
        given, options = self._given, self._given.options
        if not given.tools:
            return {}
        tools = [self._tool(tool) for tool in given.tools]
        if options.tool:
            choice: dict[str, Any] = {"type": "tool", "name": self._names.sent(options.tool)}
        else:
            choice = {"type": "any" if options.tool_choice == "required" else options.tool_choice}
        if options.parallel_calls is not None and choice["type"] != "none":
            choice["disable_parallel_tool_use"] = not options.parallel_calls
        return {"tools": tools, **({} if choice == {"type": "auto"} else {"tool_choice": choice})}

    def _tool(self, tool: GivenTool) -> dict[str, Any]:
        is_own = self._given.options.vendor == "anthropic"
        if tool.raw is not None:
            if not is_own:
                kind = str(tool.raw.get("type") or tool.name)
                why = f"cannot use the tool {tool.name or kind!r} ({kind}), which is one of another API"
                raise unsupported(self._target, "tools", why)
            return tool.raw
        found: dict[str, Any] = {"name": self._names.sent(tool.name)}
        if tool.description:
            found["description"] = tool.description
        found["input_schema"] = {"type": "object", **({} if tool.parameters else {"properties": {}})}
        found["input_schema"] |= tool.parameters
        if tool.strict is not None and is_own:
            found["strict"] = tool.strict
        return found | _mark(tool.cache)

    def _keeps(self, block: Block) -> bool:
        if isinstance(block, SaidText):
            return bool(block.text.strip())  # the API rejects blank text
        return not isinstance(block, SaidReasoning) or self._takes_again(block)

    def _takes_again(self, block: SaidReasoning) -> bool:
        """Return whether the API takes this reasoning. Anthropic checks the signature of its own."""
        if block.vendor != "anthropic" or not block.data:
            return False
        unsigned = block.data.get("type") == "thinking" and not block.data.get("signature")
        return not (unsigned and self._is_anthropic)

    def _content(self, blocks: Sequence[Block]) -> Any:
        if len(blocks) == 1 and isinstance(blocks[0], SaidText) and not blocks[0].cache:
            return blocks[0].text
        return [self._block(block) for block in blocks]

    def _block(self, block: Block) -> dict[str, Any]:
        match block:
            case SaidText():
                return _text(block)
            case SaidPart(part, cache):
                return anthropic_block(part, self._contents) | _mark(cache)
            case SaidReasoning():
                return block.data
            case SaidCall(id, name, arguments, cache):
                sent = self._names.sent(name)
                return {"type": "tool_use", "id": id, "name": sent, "input": as_object(arguments)} | _mark(
                    cache
                )
        return self._result(block)

    def _result(self, result: SaidResult) -> dict[str, Any]:
        content = [
            _text(each) if isinstance(each, SaidText) else self._block(each)
            for each in result.content
            if isinstance(each, SaidPart) or each.text.strip()
        ]
        found: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.id}
        if content:
            found["content"] = content
        if result.is_error:
            found["is_error"] = True
        return found | _mark(result.cache)


def _lacks_thinking(found: Sequence[Side]) -> bool:
    """Return whether the last answer made calls without thinking first."""
    answers = [blocks for role, blocks in found[-2:] if role == "assistant"]
    if not answers or not any(isinstance(block, SaidCall) for block in answers[-1]):
        return False
    first = answers[-1][0]
    return not (isinstance(first, SaidReasoning) and first.data.get("type") in _THINKING)


def _text(said: SaidText) -> dict[str, Any]:
    return {"type": "text", "text": said.text} | _mark(said.cache)


def _mark(cache: CacheTime) -> dict[str, Any]:
    if not cache:
        return {}
    return {"cache_control": {"type": "ephemeral", **({"ttl": cache} if cache == "1h" else {})}}
