"""A turn with tools: call the model, run the tools that it requests, and call it again with the results.

Each call has the retries, fallbacks, timeouts and prices of a turn without tools. The time spent waiting for
a client or a person does not count against the model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.output import Done, Output, Text, ToolResult
from rhetor.domain.tool import Tool
from rhetor.drivers.model_tools import model_call
from rhetor.drivers.model_tools.calls import InvalidCall, RequestedCall, ToolCalls, decoded
from rhetor.drivers.model_tools.results import Answers
from rhetor.drivers.model_tools.toolbox import Servers, Toolbox
from rhetor.drivers.models.deadline import Deadline
from rhetor.drivers.models.exchange import Answer
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.turn import ModelTurn, Question, TurnResources
from rhetor.errors import ToolCallRefused

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart

MODEL_CALLS = 50
CALLS_AT_ONCE = 128
EXCERPT = 1000  # characters of arguments that are no JSON, for the model to see
INVALID_ANSWERS = 3  # answers in a row in which nothing could be understood


class ToolAwareTurn(ModelTurn):
    """One call of the turn: `heard` is the model's answer, None where the offline one spoke."""

    def __init__(
        self,
        resources: TurnResources,
        question: Question,
        deadline: Deadline,
        messages: list[ModelMessage],
        tools: Sequence[Tool],
    ) -> None:
        super().__init__(resources, question, deadline)
        self.heard: ModelResponse | None = None
        self._messages = messages
        self._tools = tools

    @asynccontextmanager
    async def _call(self, target: Target) -> AsyncIterator[tuple[AsyncGenerator[Output, None], Answer]]:
        self._deadline.call()
        exchange = await self._exchange(target)
        answer = model_call.StreamedAnswer(exchange, self._messages, self._tools)
        async with aclosing(answer.outputs()) as outputs:
            yield outputs, answer
            self.heard = answer.response


class ToolTurn:
    """`outputs` is iterated once; `interrupt` ends it, whatever it waits for."""

    def __init__(
        self,
        resources: TurnResources,
        question: Question,
        toolbox: Toolbox,
        servers: Servers,
        answers: Answers,
    ) -> None:
        self._resources = resources
        self._question = question
        self._toolbox = toolbox
        self._servers = servers
        self._answers = answers
        self._tools = [available.tool for available in toolbox.values()]
        self._deadline: Deadline | None = None
        self._said_something = False
        self._invalid = 0

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """Ends with `Done`, whose reason is that of the last answer.

        Raises:
            TurnFailure: of the provider, or of a tool.
            Interrupted: as it was told.
        """
        await model_call.load()
        peer, message, history = self._question.peer, self._question.message, self._question.history
        messages = model_call.opening(peer.prompt, history, message.content)
        for _ in range(MODEL_CALLS):
            done, heard = Done(), None
            with Deadline(self._resources.timeouts) as self._deadline:
                turn = ToolAwareTurn(self._resources, self._question, self._deadline, messages, self._tools)
                async with aclosing(self._spoken(turn)) as spoken:
                    async for output in spoken:
                        if isinstance(output, Done):
                            done = output
                        else:
                            yield output
                heard = turn.heard
            self._deadline = None
            if heard is None or not (requested := _requested_calls(heard)):
                yield done
                return
            calls = ToolCalls(self._toolbox, self._servers, self._answers)
            async with aclosing(calls.outputs([_requested_call(part) for part in requested])) as outputs:
                async for output in outputs:
                    yield output
            self._check(calls, len(requested))
            messages += [_repeatable(heard), _returned(requested, calls.results)]
        raise ToolCallRefused(f"the model still asks for tools after {MODEL_CALLS} answers")

    def interrupt(self) -> None:
        self._answers.interrupt()
        if self._deadline is not None:
            self._deadline.interrupt()

    async def _spoken(self, turn: ToolAwareTurn) -> AsyncGenerator[Output, None]:
        """The outputs of one call, its words apart from those of the call before."""
        first = True
        async with aclosing(turn.outputs()) as outputs:
            async for output in outputs:
                if isinstance(output, Text) and output.channel == "answer":
                    if first and self._said_something:
                        yield Text("\n\n")
                    first, self._said_something = False, True
                yield output

    def _check(self, calls: ToolCalls, wished: int) -> None:
        self._invalid = self._invalid + 1 if calls.invalid == wished else 0
        if self._invalid >= INVALID_ANSWERS:
            raise ToolCallRefused(
                f"the model's tool calls could not be understood {INVALID_ANSWERS} times in a row"
            )


def _requested_calls(heard: ModelResponse) -> list[ToolCallPart]:
    from pydantic_ai.messages import ToolCallPart

    found = [part for part in heard.parts if isinstance(part, ToolCallPart)]
    if len(found) > CALLS_AT_ONCE:
        raise ToolCallRefused(f"the model asks for {len(found)} tools at once; the limit is {CALLS_AT_ONCE}")
    return found


def _requested_call(part: ToolCallPart) -> RequestedCall:
    arguments = part.args if isinstance(part.args, str) else part.args_as_json_str()
    return RequestedCall(part.tool_name, arguments)


def _repeatable(heard: ModelResponse) -> ModelResponse:
    """The answer as it can be sent back: with arguments that are JSON, whatever they were."""
    from pydantic_ai.messages import ToolCallPart

    parts = [replace(p, args=_sent_back(p)) if isinstance(p, ToolCallPart) else p for p in heard.parts]
    return replace(heard, parts=parts)


def _sent_back(part: ToolCallPart) -> str:
    words = _requested_call(part).arguments
    try:
        arguments = decoded(words)
    except InvalidCall:
        arguments = {"not_understood": words[:EXCERPT]}
    return msgspec.json.encode(arguments).decode()


def _returned(requested: Sequence[ToolCallPart], results: Sequence[ToolResult]) -> ModelMessage:
    """The results as the model is told them, each under the id that it gave its call itself."""
    from pydantic_ai.messages import ModelRequest, ToolReturnPart

    return ModelRequest(
        parts=[
            ToolReturnPart(
                tool_name=call.tool_name,
                content=result.result,
                tool_call_id=call.tool_call_id,
                outcome="failed" if result.is_error else "success",
            )
            for call, result in zip(requested, results, strict=True)
        ]
    )
