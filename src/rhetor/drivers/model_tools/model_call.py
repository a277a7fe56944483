"""One call to a model that may request tools, through pydantic-ai: takes messages, returns outputs and calls.

pydantic-ai knows each provider's format for tools, their results and its own reasoning. The client, the
timeouts and the errors are those of plain turns. The first such call imports pydantic-ai in a thread, because
that takes over a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor.domain.given import CallOptions
from rhetor.domain.output import Done, Output, Text, Usage
from rhetor.domain.tool import Tool
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models import errors
from rhetor.drivers.models.anthropic_messages import MAX_TOKENS
from rhetor.drivers.models.deadline import DeadlineExceeded
from rhetor.drivers.models.exchange import Call
from rhetor.drivers.models.given.request import option_fields
from rhetor.drivers.models.json_answer import anthropic_fields, openai_fields
from rhetor.drivers.models.target import Target
from rhetor.errors import ProviderFailed, ToolCallRefused, Unprocessable

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
    from pydantic_ai.models import Model, StreamedResponse
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.usage import RequestUsage

ARGUMENT_BYTES = 1 << 20  # the arguments of all calls in one answer


async def load() -> None:
    """Import the modules that the calls need, in a thread."""
    await asyncio.to_thread(_load)


def _load() -> None:
    import pydantic_ai.direct
    import pydantic_ai.models.anthropic
    import pydantic_ai.models.openai  # noqa: F401


def opening(system: str, history: Sequence[PastMessage], message: Prompt) -> list[ModelMessage]:
    """Return the messages for the first call of a turn."""
    from pydantic_ai import messages as m

    # few providers accept an empty message, or a history that begins with an answer, as a truncated one may
    kept = (said for said in history if said.content or said.attachments)
    earlier = dropwhile(lambda said: said.role != "user", kept)
    own = PastMessage("user", message.content, message.attachments)
    found: list[ModelMessage] = [
        m.ModelRequest(parts=[m.UserPromptPart(_content(said))])
        if said.role == "user"
        else m.ModelResponse(parts=[m.TextPart(said.content)])
        for said in (*earlier, own)
    ]
    first = found[0]
    if system and isinstance(first, m.ModelRequest):
        first.parts = [m.SystemPromptPart(system), *first.parts]
    return found


def _content(said: PastMessage) -> Any:
    from pydantic_ai import messages as m

    if not said.attachments:
        return said.content
    parts = [m.BinaryContent(each.content, media_type=each.part.media_type) for each in said.attachments]
    return [*([said.content] if said.content else []), *parts]


class ToolExchange:
    """An `Exchange` through pydantic-ai. `response` is the answer once it is complete. `options`: those of a
    client that gave the conversation, which also have the schema."""

    def __init__(
        self,
        call: Call,
        messages: list[ModelMessage],
        tools: Sequence[Tool],
        schema: dict[str, Any] | None = None,
        options: CallOptions | None = None,
    ) -> None:
        self._own = option_fields(call.target, options)
        self.cache_written = 0
        self.response: ModelResponse | None = None
        self._call = call
        self._messages = messages
        self._tools = tools
        self._schema = schema
        self._begun = False
        self._argument_bytes = 0
        self._outputs = self._answer()

    @property
    def target(self) -> Target:
        """The model that is called."""
        return self._call.target

    async def start(self) -> Sequence[Output]:
        """As `Exchange.start`."""
        try:
            return await self.read()
        except BaseException:  # also if the caller is cancelled
            await self.aclose()
            raise

    async def read(self) -> Sequence[Output]:
        """As `Exchange.read`.

        Raises:
            ToolCallRefused: the arguments of the requested calls are too large.
        """
        output = await anext(self._outputs, None)
        return () if output is None else (output,)

    async def aclose(self) -> None:
        """As `Exchange.aclose`."""
        await self._outputs.aclose()

    async def _answer(self) -> AsyncGenerator[Output, None]:
        from pydantic_ai.direct import model_request_stream

        request = model_request_stream(
            _model(self._call),
            self._messages,
            model_settings=self._settings(),
            model_request_parameters=_parameters(self._tools),
        )
        with self._typed():
            stream = await self._call.deadline.wait(request.__aenter__())
        try:
            async for event in self._events(stream):
                if text := self._text(event):
                    yield text
            for output in self._whole(stream):
                yield output
        finally:
            await request.__aexit__(None, None, None)

    def _settings(self) -> ModelSettings | None:
        if self._call.client.anthropic is not None:
            more = self._own or anthropic_fields(self._schema)
            return {"max_tokens": MAX_TOKENS, **({"extra_body": more} if more else {})}
        more = self._own or openai_fields(self._schema)
        return {"extra_body": more} if more else None

    async def _events(self, stream: StreamedResponse) -> AsyncIterator[ModelResponseStreamEvent]:
        events, deadline = aiter(stream), self._call.deadline
        while True:
            with self._typed():
                event = await deadline.wait(anext(events, None))
            if event is None:
                return
            self._begun = True
            deadline.alive()
            yield event

    def _text(self, event: ModelResponseStreamEvent) -> Text | None:
        from pydantic_ai import messages as m

        match event:
            case m.PartStartEvent(part=m.TextPart(content=text)) if text:
                return Text(text)
            case m.PartDeltaEvent(delta=m.TextPartDelta(content_delta=text)) if text:
                return Text(text)
            case m.PartStartEvent(part=m.ThinkingPart(content=text)) if text:
                return Text(text, "reasoning")
            case m.PartDeltaEvent(delta=m.ThinkingPartDelta(content_delta=text)) if text:
                return Text(text, "reasoning")
            case m.PartStartEvent(part=m.ToolCallPart(args=arguments)):
                self._count(arguments)
            case m.PartDeltaEvent(delta=m.ToolCallPartDelta(args_delta=arguments)):
                self._count(arguments)
        return None

    def _count(self, arguments: Any) -> None:
        self._argument_bytes += len(arguments) if isinstance(arguments, str) else 0
        if self._argument_bytes > ARGUMENT_BYTES:
            raise ToolCallRefused(f"the arguments of the tool calls are larger than {ARGUMENT_BYTES} bytes")

    def _whole(self, stream: StreamedResponse) -> Iterator[Output]:
        if stream.finish_reason is None:
            raise errors.cut(self._call.target, "the stream ended early")
        self.response = stream.get()
        if usage := self._usage(stream.usage):
            yield usage
        yield Done(_FINISH.get(stream.finish_reason, stream.finish_reason))

    def _usage(self, usage: RequestUsage) -> Usage | None:
        self.cache_written = usage.cache_write_tokens
        if not (usage.input_tokens or usage.output_tokens):
            return None  # not reported
        cached = usage.cache_read_tokens or None
        thought = usage.details.get("reasoning_tokens", 0)
        return Usage(
            self._call.target.ref, usage.input_tokens, usage.output_tokens, cached, reasoning_tokens=thought
        )

    @contextmanager
    def _typed(self) -> Iterator[None]:
        from pydantic_ai.exceptions import AgentRunError

        call = self._call
        try:
            yield
        except DeadlineExceeded as over:
            raise call.too_late(over) from over
        except Unprocessable as error:
            raise errors.out_of_reach(call.target, error) from error
        except (AgentRunError, ValueError) as error:
            raise self._failure(error) from error
        except call.client.failures as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> ProviderFailed:
        """Return the typed failure, from the SDK's own error if there is one: it has more details than
        pydantic-ai's."""
        call, target = self._call, self._call.target
        typed = next((cause for cause in _causes(error) if isinstance(cause, ProviderFailed)), None)
        if typed is not None:
            return typed
        cause = _sdk_error(error)
        if isinstance(outside := _outermost(error), Unprocessable):
            return errors.out_of_reach(target, outside)
        response, body = getattr(cause, "response", None), getattr(cause, "body", None)
        if response is not None and response.status_code >= 400:
            return errors.of_call(target, cause, call.timeouts.connect, call.clock())
        if isinstance(body, dict):
            told = body if "error" in body else {"error": body}
            return errors.failed_in_stream(target, msgspec.json.encode(told))
        if self._begun or isinstance(error, ValueError):
            return errors.cut(target, errors.reason(cause))
        return errors.of_call(target, cause, call.timeouts.connect, call.clock())


_FINISH = {"tool_call": "tool_calls", "error": "stop"}


def _model(call: Call) -> Model[Any]:
    client, target = call.client, call.target
    if client.anthropic is not None:
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(target.model, provider=AnthropicProvider(anthropic_client=client.anthropic))
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider

    # as in plain turns, an answer that ends without a finish reason is a broken connection
    profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
    provider = OpenAIProvider(openai_client=client.openai)
    return OpenAIChatModel(target.model, provider=provider, profile=profile)


def _parameters(tools: Sequence[Tool]) -> Any:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    # strict schemas are a separate dialect, which not every server supports
    definitions = [
        ToolDefinition(
            name=tool.name,
            parameters_json_schema={"type": "object", "properties": {}, **tool.parameters},
            description=tool.description or None,
            strict=False,
        )
        for tool in tools
    ]
    return ModelRequestParameters(function_tools=definitions)


def _causes(error: Exception) -> list[Exception]:
    causes = [error]
    while isinstance(cause := causes[-1].__cause__, Exception):
        causes.append(cause)
    return causes


def _sdk_error(error: Exception) -> Exception:
    """Return the first error in the chain of causes that is not pydantic-ai's, or else `error`."""
    from pydantic_ai.exceptions import AgentRunError

    return next((cause for cause in _causes(error) if not isinstance(cause, AgentRunError)), error)


def _outermost(error: Exception) -> Exception:
    return next((cause for cause in _causes(error) if isinstance(cause, Unprocessable)), error)
