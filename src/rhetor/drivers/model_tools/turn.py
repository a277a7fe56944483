"""A turn with tools: calls the model, runs the tools that it requests, and calls it again with the results.

Each call has the retries, fallbacks, timeouts and prices of a turn without tools. The time spent waiting for
a client or a person does not count against the model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.given import INVALID_JSON, CallOptions
from rhetor.domain.output import Done, Output, Text, ToolResult
from rhetor.domain.parts import TEXT_ONLY
from rhetor.domain.tool import Tool
from rhetor.drivers.base import PastMessage
from rhetor.drivers.model_tools import model_call
from rhetor.drivers.model_tools.calls import Answers, InvalidCall, RequestedCall, ToolCalls, decoded
from rhetor.drivers.model_tools.model_call import ToolExchange
from rhetor.drivers.model_tools.toolbox import Servers, Toolbox
from rhetor.drivers.models import errors
from rhetor.drivers.models.deadline import Interrupted
from rhetor.drivers.models.exchange import Call, Exchange
from rhetor.drivers.models.parts import readable
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.turn import ModelTurn, Question, TurnResources
from rhetor.errors import ToolCallRefused

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart

MODEL_CALLS = 50
CALLS_AT_ONCE = 128
EXCERPT = 1000  # characters of invalid arguments that are sent back to the model
INVALID_ANSWERS = 3  # answers in a row in which every tool call was invalid


class ToolAwareTurn(ModelTurn):
    """One model call of a turn with tools, with its retries and fallbacks."""

    def __init__(
        self,
        resources: TurnResources,
        question: Question,
        messages: list[ModelMessage],
        tools: Sequence[Tool],
        options: CallOptions | None = None,
    ) -> None:
        super().__init__(resources, question)
        self._options = options
        self._messages = messages
        self._tools = tools
        self._last: ToolExchange | None = None

    @property
    def response(self) -> ModelResponse | None:
        """The complete answer, after `outputs` has ended; None if the offline model gave it."""
        return self._last.response if self._last is not None else None

    def require_text(self, done: Done, *, said: bool) -> None:
        """Check that the turn has a text: an answer without one must not pass for a real one.

        Raises:
            EmptyAnswer: nothing was said.
        """
        if self._last is not None and not said:
            raise errors.empty(self._last.target, done.finish_reason, "", has_calls=False)

    def _exchange(self, call: Call) -> Exchange:
        schema = self._question.message.schema
        self._last = ToolExchange(call, self._messages, self._tools, schema, self._options)
        return self._last


class ToolTurn:
    """One turn with tools. `outputs` is iterated once. `options`: of a client that gave the conversation."""

    def __init__(
        self,
        resources: TurnResources,
        question: Question,
        toolbox: Toolbox,
        servers: Servers,
        answers: Answers,
        options: CallOptions | None = None,
    ) -> None:
        self._options = options
        self._resources = resources
        self._question = question
        self._toolbox = toolbox
        self._servers = servers
        self._answers = answers
        self._tools = [available.tool for available in toolbox.values()]
        self._turn: ToolAwareTurn | None = None
        self._said_something = False
        self._invalid = 0

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """Run the turn and yield its outputs. The last one is `Done`, with the last answer's finish reason.

        Raises:
            TurnFailure: the provider or a tool failed.
            Interrupted: `interrupt` was called.
        """
        await model_call.load()
        peer, message, history = self._question.peer, self._question.message, self._question.history
        messages = model_call.opening(peer.prompt, await self._readable(history), message)
        for _ in range(MODEL_CALLS):
            done = Done()
            turn = self._turn = ToolAwareTurn(
                self._resources, self._question, messages, self._tools, self._options
            )
            async with aclosing(self._separated(turn)) as outputs:
                async for output in outputs:
                    if isinstance(output, Done):
                        done = output
                    else:
                        yield output
            if turn.interrupted:
                raise Interrupted
            if (response := turn.response) is None or not (requested := _requested_calls(response)):
                turn.require_text(done, said=self._said_something)
                yield done
                return
            calls = ToolCalls(self._toolbox, self._servers, self._answers)
            async with aclosing(calls.outputs([_requested_call(part) for part in requested])) as outputs:
                async for output in outputs:
                    yield output
            self._check(calls, len(requested))
            messages += [_repeatable(response), _returned(requested, calls.results)]
        raise ToolCallRefused(f"the model still calls tools after {MODEL_CALLS} answers")

    async def _readable(self, history: Sequence[PastMessage]) -> Sequence[PastMessage]:
        """Return the earlier messages with the parts that the peer's own model takes."""
        if not any(past.attachments for past in history):
            return history
        models, inputs = self._resources.models, self._resources.inputs
        target = await models.resolve(self._question.peer.model)
        takes = await inputs.of(target) if inputs is not None and isinstance(target, Target) else TEXT_ONLY
        return readable(history, takes)

    def interrupt(self) -> None:
        """End the turn, even while it waits for a model, a tool, a client or a person."""
        self._answers.interrupt()
        if self._turn is not None:
            self._turn.interrupt()

    async def _separated(self, turn: ToolAwareTurn) -> AsyncGenerator[Output, None]:
        """Yield the outputs of one model call, with a blank line between its text and earlier text."""
        first = True
        async with aclosing(turn.outputs()) as outputs:
            async for output in outputs:
                if isinstance(output, Text) and output.channel == "answer":
                    if first and self._said_something:
                        yield Text("\n\n")
                    first = False
                    self._said_something = self._said_something or bool(output.text.strip())
                yield output

    def _check(self, calls: ToolCalls, wished: int) -> None:
        self._invalid = self._invalid + 1 if calls.invalid == wished else 0
        if self._invalid >= INVALID_ANSWERS:
            raise ToolCallRefused(f"the model's tool calls were invalid {INVALID_ANSWERS} times in a row")


def _requested_calls(response: ModelResponse) -> list[ToolCallPart]:
    from pydantic_ai.messages import ToolCallPart

    found = [part for part in response.parts if isinstance(part, ToolCallPart)]
    if len(found) > CALLS_AT_ONCE:
        raise ToolCallRefused(f"the model made {len(found)} tool calls at once; the limit is {CALLS_AT_ONCE}")
    return found


def _requested_call(part: ToolCallPart) -> RequestedCall:
    arguments = part.args if isinstance(part.args, str) else part.args_as_json_str()
    return RequestedCall(part.tool_name, arguments)


def _repeatable(response: ModelResponse) -> ModelResponse:
    """Return the answer in a form that can be sent back: with valid JSON in place of invalid arguments."""
    from pydantic_ai.messages import ToolCallPart

    parts = [replace(p, args=_sent_back(p)) if isinstance(p, ToolCallPart) else p for p in response.parts]
    return replace(response, parts=parts)


def _sent_back(part: ToolCallPart) -> str:
    words = _requested_call(part).arguments
    try:
        arguments = decoded(words)
    except InvalidCall:
        arguments = {INVALID_JSON: words[:EXCERPT]}
    return msgspec.json.encode(arguments).decode()


def _returned(requested: Sequence[ToolCallPart], results: Sequence[ToolResult]) -> ModelMessage:
    """Return the message with the results, each with the model's own id of the call."""
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
