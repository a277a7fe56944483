"""A turn with tools: the model is asked, its wishes are carried out, and it is asked again with the results.

Each call to a model is a plain turn's in all but its language: the same retries, fallbacks, time-outs and
prices (answering). Waiting for a client or a person does not count for the time that the model has.
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
from rhetor.drivers.model_tools.calls import NotUnderstood, ToolCalls, Wish, decoded
from rhetor.drivers.model_tools.results import Answers
from rhetor.drivers.model_tools.toolbox import Servers, Toolbox
from rhetor.drivers.models.deadline import Patience
from rhetor.drivers.models.exchange import Answer
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.turn import Answering, Means, Question
from rhetor.errors import ToolCallRefused

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart

MODEL_CALLS = 50
CALLS_AT_ONCE = 128
EXCERPT = 1000  # characters of arguments that are no JSON, for the model to see
MISUNDERSTANDINGS = 3  # answers in a row in which nothing could be understood


class PendingRequests(Answering):
    """One call of the turn: `heard` is the model's answer, None where the offline one spoke."""

    def __init__(
        self,
        means: Means,
        question: Question,
        patience: Patience,
        messages: list[ModelMessage],
        tools: Sequence[Tool],
    ) -> None:
        super().__init__(means, question, patience)
        self.heard: ModelResponse | None = None
        self._messages = messages
        self._tools = tools

    @asynccontextmanager
    async def _call(self, target: Target) -> AsyncIterator[tuple[AsyncGenerator[Output, None], Answer]]:
        self._patience.call()
        exchange = await self._exchange(target)
        answer = model_call.Speech(exchange, self._messages, self._tools)
        async with aclosing(answer.outputs()) as outputs:
            yield outputs, answer
            self.heard = answer.response


class ToolTurn:
    """`outputs` is iterated once; `interrupt` ends it, whatever it waits for."""

    def __init__(
        self, means: Means, question: Question, toolbox: Toolbox, servers: Servers, answers: Answers
    ) -> None:
        self._means = means
        self._question = question
        self._toolbox = toolbox
        self._servers = servers
        self._answers = answers
        self._tools = [offered.tool for offered in toolbox.values()]
        self._patience: Patience | None = None
        self._said_something = False
        self._misunderstood = 0

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
            with Patience(self._means.timeouts) as self._patience:
                asking = PendingRequests(self._means, self._question, self._patience, messages, self._tools)
                async with aclosing(self._spoken(asking)) as spoken:
                    async for output in spoken:
                        if isinstance(output, Done):
                            done = output
                        else:
                            yield output
                heard = asking.heard
            self._patience = None
            if heard is None or not (wishes := _wishes(heard)):
                yield done
                return
            calls = ToolCalls(self._toolbox, self._servers, self._answers)
            async with aclosing(calls.outputs([_wish(part) for part in wishes])) as outputs:
                async for output in outputs:
                    yield output
            self._check(calls, len(wishes))
            messages += [_repeatable(heard), _returned(wishes, calls.results)]
        raise ToolCallRefused(f"the model still asks for tools after {MODEL_CALLS} answers")

    def interrupt(self) -> None:
        self._answers.interrupt()
        if self._patience is not None:
            self._patience.interrupt()

    async def _spoken(self, asking: PendingRequests) -> AsyncGenerator[Output, None]:
        """The outputs of one call, its words apart from those of the call before."""
        first = True
        async with aclosing(asking.outputs()) as outputs:
            async for output in outputs:
                if isinstance(output, Text) and output.channel == "answer":
                    if first and self._said_something:
                        yield Text("\n\n")
                    first, self._said_something = False, True
                yield output

    def _check(self, calls: ToolCalls, wished: int) -> None:
        self._misunderstood = self._misunderstood + 1 if calls.misunderstood == wished else 0
        if self._misunderstood >= MISUNDERSTANDINGS:
            raise ToolCallRefused(
                f"the model's tool calls could not be understood {MISUNDERSTANDINGS} times in a row"
            )


def _wishes(heard: ModelResponse) -> list[ToolCallPart]:
    from pydantic_ai.messages import ToolCallPart

    found = [part for part in heard.parts if isinstance(part, ToolCallPart)]
    if len(found) > CALLS_AT_ONCE:
        raise ToolCallRefused(f"the model asks for {len(found)} tools at once; the limit is {CALLS_AT_ONCE}")
    return found


def _wish(part: ToolCallPart) -> Wish:
    arguments = part.args if isinstance(part.args, str) else part.args_as_json_str()
    return Wish(part.tool_name, arguments)


def _repeatable(heard: ModelResponse) -> ModelResponse:
    """The answer as it can be sent back: with arguments that are JSON, whatever they were."""
    from pydantic_ai.messages import ToolCallPart

    parts = [replace(p, args=_sent_back(p)) if isinstance(p, ToolCallPart) else p for p in heard.parts]
    return replace(heard, parts=parts)


def _sent_back(part: ToolCallPart) -> str:
    words = _wish(part).arguments
    try:
        arguments = decoded(words)
    except NotUnderstood:
        arguments = {"not_understood": words[:EXCERPT]}
    return msgspec.json.encode(arguments).decode()


def _returned(wishes: Sequence[ToolCallPart], results: Sequence[ToolResult]) -> ModelMessage:
    """The results as the model is told them, each under the id that it gave its wish itself."""
    from pydantic_ai.messages import ModelRequest, ToolReturnPart

    return ModelRequest(
        parts=[
            ToolReturnPart(
                tool_name=wish.tool_name,
                content=result.result,
                tool_call_id=wish.tool_call_id,
                outcome="failed" if result.is_error else "success",
            )
            for wish, result in zip(wishes, results, strict=True)
        ]
    )
