"""One turn's way to an answer: over the models that may give it, and the calls that each of them gets.

All that is tried again is tried here, and only until something of an answer has come: from then on the turn
is that model's, and ends as it ends. What a failure calls for is said by `remedies` and `backoff`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.domain.peer import Peer
from rhetor.drivers.base import Conversation, PastMessage, Prompt
from rhetor.drivers.models import anthropic_messages, errors, openai_chat
from rhetor.drivers.models.agent_models import AgentModels, too_late
from rhetor.drivers.models.client import Request
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.cooldown import Admission, Backoff, Cooldowns
from rhetor.drivers.models.deadline import Deadline, DeadlineExceeded, Timeouts
from rhetor.drivers.models.errors import is_elsewhere_better
from rhetor.drivers.models.exchange import Answer, Exchange
from rhetor.drivers.models.prices import Prices
from rhetor.drivers.models.resolve import AUTO, Models
from rhetor.drivers.models.target import AgentTarget, Provider, Target
from rhetor.errors import ProviderFailed

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TurnResources:
    """What all turns are made with. `fallbacks`: references of the models to ask when the peer's own fails.
    `clock`: Unix time, for what a provider says as a date."""

    models: Models
    clients: Clients
    timeouts: Timeouts
    clock: Callable[[], float]
    fallbacks: Sequence[str]
    backoff: Backoff
    cooldowns: Cooldowns
    prices: Prices
    agents: AgentModels | None = None


class Question(NamedTuple):
    """What is asked, whichever model is. `offline` answers where no provider is there."""

    peer: Peer
    message: Prompt
    history: Sequence[PastMessage]
    offline: Conversation


class _Begun(NamedTuple):
    """An answer of which the first output is there."""

    first: Output
    outputs: AsyncGenerator[Output, None]
    answer: Answer


class ModelTurn:
    """A turn; its outputs are iterated once."""

    def __init__(self, resources: TurnResources, question: Question, deadline: Deadline) -> None:
        self._resources = resources
        self._question = question
        self._deadline = deadline
        self._begun = False
        self._ref = ""  # of the model that is asked now
        self._blamed: set[Provider] = set()

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """Ends with `Done`. Each model that is asked is named by a `Began`: the last one answers.

        Raises:
            ProviderFailed: of the model that broke off; or, where none began to answer, of the peer's own
                one, with all that were tried.
            Interrupted: as `Deadline` was told to.
        """
        failures: dict[str, ProviderFailed] = {}
        for ref in (self._question.peer.model or AUTO, *self._resources.fallbacks):
            if ref in failures:
                continue
            self._ref = ref
            try:
                found = self._from(await self._resolved(ref))
                async with aclosing(found) as outputs:
                    async for output in outputs:
                        yield output
                return
            except ProviderFailed as failure:
                failures[self._ref] = failure
                if not self._goes_on(failure, len(failures)):
                    break
        raise self._end(failures)

    def _goes_on(self, failure: ProviderFailed, failed: int) -> bool:
        """Whether another model is asked. What is wrong with the message shows at the first one; a later one
        may just be smaller."""
        if self._begun or self._deadline.left <= 0:
            return False
        return failed > 1 or is_elsewhere_better(failure)

    def _end(self, failures: dict[str, ProviderFailed]) -> ProviderFailed:
        """The failure that the turn ends with."""
        all_ = list(failures.values())
        if self._begun or len(all_) == 1:
            return all_[-1]
        all_[0].data["tried"] = [{"model": ref, "code": each.code} for ref, each in failures.items()]
        return all_[0]

    def _from(self, target: Target | AgentTarget | None) -> AsyncGenerator[Output, None]:
        """The outputs of one model."""
        question = self._question
        if target is None:
            return question.offline.send(question.message, question.history)
        if isinstance(target, AgentTarget):
            return self._through(target)
        return self._online(target)

    async def _through(self, target: AgentTarget) -> AsyncGenerator[Output, None]:
        """The outputs of a coding agent, which makes its own attempts. It is given no tools."""
        agents, (peer, message, history, _) = self._resources.agents, self._question
        assert agents is not None  # who named it
        self._ref = target.ref
        yield Began(target.ref)
        await self._in_time(target, self._deadline.pause(agents.places.acquire()))
        try:
            self._deadline.call()
            async with aclosing(agents.outputs(target, peer.prompt, message, history)) as outputs:
                while output := await self._in_time(target, self._deadline.wait(anext(outputs, None))):
                    self._deadline.alive()
                    self._begun = self._begun or isinstance(output, Text)
                    yield output
        finally:
            agents.places.release()

    async def _in_time(self, target: AgentTarget, awaitable: Awaitable[T]) -> T:
        try:
            return await awaitable
        except DeadlineExceeded as over:
            raise too_late(target, over.phase, getattr(self._resources.timeouts, over.phase)) from over

    async def _online(self, target: Target) -> AsyncGenerator[Output, None]:
        self._ref = target.ref
        with self._resources.cooldowns.admit(target, self._blamed) as admission:
            yield Began(target.ref)
            self._resources.prices.prepare(target)
            async with AsyncExitStack() as stack:
                begun = await self._answer(stack, target, once=admission.trial)
                self._begun = True
                admission.begun()
                output: Output | None = begun.first
                while output is not None:
                    # words are nearly all there is, and need nothing more
                    if not isinstance(output, Text):
                        output = await self._finished(output, target, begun.answer, admission)
                    yield output
                    output = await anext(begun.outputs, None)

    async def _resolved(self, ref: str) -> Target | AgentTarget | None:
        made = 0
        while True:
            made += 1
            self._deadline.call()
            try:
                return await self._deadline.wait(self._resources.models.resolve(ref))
            except DeadlineExceeded as over:
                raise errors.not_found_in_time(ref, over.phase) from over
            except ProviderFailed as failure:
                await self._pause(failure, made)

    async def _answer(self, stack: AsyncExitStack, target: Target, *, once: bool) -> _Begun:
        """Call until an answer begins; the call then lasts as long as `stack`."""
        made = 0
        while True:
            made += 1
            try:
                async with AsyncExitStack() as call:
                    outputs, answer = await call.enter_async_context(self._call(target))
                    first = await anext(outputs)
                    await stack.enter_async_context(call.pop_all())
                    return _Begun(first, outputs, answer)
            except ProviderFailed as failure:
                if once:
                    raise
                await self._pause(failure, made)

    @asynccontextmanager
    async def _call(self, target: Target) -> AsyncIterator[tuple[AsyncGenerator[Output, None], Answer]]:
        self._deadline.call()
        exchange = await self._exchange(target)
        request, answer = _spoken(target, self._question)
        async with exchange.opened(request) as body, aclosing(exchange.read(body, answer)) as outputs:
            yield outputs, answer

    async def _exchange(self, target: Target) -> Exchange:
        resources = self._resources
        try:
            client = await self._deadline.wait(resources.clients.get(target.provider))
        except DeadlineExceeded as over:
            seconds = getattr(resources.timeouts, over.phase)
            raise errors.timed_out(target, over.phase, seconds) from over
        return Exchange(target, client, self._deadline, resources.timeouts, resources.clock)

    async def _pause(self, failure: ProviderFailed, made: int) -> None:
        """Wait until another call may be made.

        Raises:
            ProviderFailed: `failure`, where none is to be made, or there is no time left for it.
        """
        if made > 1:
            failure.data["attempts"] = made
        seconds = self._resources.backoff.pause(failure, made)
        if seconds is None or seconds >= self._deadline.left:
            raise failure
        log.info("call is made again", extra={"model": self._ref, "code": failure.code, "seconds": seconds})
        try:
            await self._deadline.pause(self._resources.backoff.sleep(seconds))
        except DeadlineExceeded as over:
            raise failure from over

    async def _finished(self, output: Output, target: Target, answer: Answer, admission: Admission) -> Output:
        """An output of the answer's end, with what it cost."""
        if isinstance(output, Done):
            admission.answered()
        if not isinstance(output, Usage):
            return output
        cost = self._resources.prices.cost(target, output, answer.cache_written)
        try:
            return replace(output, cost=await self._deadline.wait(cost))
        except DeadlineExceeded:
            return output  # the answer is whole, and its price no reason to lose it


def _spoken(target: Target, question: Question) -> tuple[Request, Answer]:
    """The call, and what reads its answer, in the provider's language."""
    asked = (question.peer.prompt, question.history, question.message.content)
    if target.provider.kind == "anthropic":
        return anthropic_messages.request(target, *asked), anthropic_messages.Message(target)
    return openai_chat.request(target, *asked), openai_chat.Completion(target)
