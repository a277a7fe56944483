"""One turn with a model: which models are tried, and how often each of them is called.

Retries and fallbacks happen only until an answer begins. After that, the turn stays with that model and ends
when its answer ends. `errors.py` and `cooldown.py` decide which failures are worth a retry.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.domain.parts import TEXT_ONLY
from rhetor.domain.peer import Peer
from rhetor.drivers.agents.inputs import AGENT_HINT
from rhetor.drivers.base import Conversation, PastMessage, Prompt
from rhetor.drivers.models import anthropic_messages, errors, openai_chat
from rhetor.drivers.models.agent_models import AgentModels, empty, too_late
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.cooldown import Admission, Backoff, Cooldowns
from rhetor.drivers.models.deadline import Deadline, DeadlineExceeded, Interrupted, Timeouts
from rhetor.drivers.models.exchange import Call, Exchange, StreamedExchange
from rhetor.drivers.models.given.request import GivenRequest, given_request
from rhetor.drivers.models.given.text import as_text
from rhetor.drivers.models.inputs import ModelInputs, hint_for
from rhetor.drivers.models.parts import readable, require_taken
from rhetor.drivers.models.prices import Prices
from rhetor.drivers.models.resolve import AUTO, OFFLINE, Models
from rhetor.drivers.models.target import AgentTarget, Provider, Target
from rhetor.drivers.models.verdicts import is_elsewhere_better
from rhetor.errors import ProviderFailed

T = TypeVar("T")
log = logging.getLogger(__name__)


class TurnResources(NamedTuple):
    """What all turns share. `fallbacks`: the models to try, in this order, if the peer's own model fails.
    `clock` returns Unix time, for a Retry-After header that gives a date. `inputs`: what models take; without
    it, each is expected to take everything."""

    models: Models
    clients: Clients
    timeouts: Timeouts
    clock: Callable[[], float]
    fallbacks: Sequence[str]
    backoff: Backoff
    cooldowns: Cooldowns
    prices: Prices
    agents: AgentModels | None = None
    inputs: ModelInputs | None = None


class Question(NamedTuple):
    """The input of a turn. `offline` answers if no provider is configured."""

    peer: Peer
    message: Prompt
    history: Sequence[PastMessage]
    offline: Conversation


class ModelTurn:
    """One turn with a model. `outputs` must be iterated only once."""

    def __init__(self, resources: TurnResources, question: Question) -> None:
        self.interrupted = False
        """Whether the outputs ended because of `interrupt`."""
        self._resources = resources
        self._question = question
        self._history = question.history  # as the model that is called now can read it
        self._given: GivenRequest | None = None  # to the model that is called now
        self._deadline = Deadline(resources.timeouts)
        self._begun = False
        self._ref = ""  # of the model that is called now
        self._blamed: set[Provider] = set()

    def interrupt(self) -> None:
        """End the turn: `outputs` stops at its next wait, without `Done`."""
        self._deadline.interrupt()

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """Yield the outputs, ending with `Done`. A `Began` names each model that is tried; the last one
        answers.

        Raises:
            ProviderFailed: the answer ended early; or no model began to answer, and this is the failure of
                the peer's own model. If several models failed, `data["tried"]` lists them.
        """
        failures: dict[str, ProviderFailed] = {}
        with self._deadline:
            for ref in (self._question.peer.model or AUTO, *self._resources.fallbacks):
                if ref in failures:
                    continue
                self._ref = ref
                try:
                    async with aclosing(self._from(await self._resolved(ref))) as outputs:
                        async for output in outputs:
                            yield output
                    return
                except ProviderFailed as failure:
                    failures[self._ref] = failure
                    if not self._tries_another(failure, len(failures)):
                        break
                except Interrupted:
                    self.interrupted = True
                    return
        raise self._failure(failures)

    def _tries_another(self, failure: ProviderFailed, failed: int) -> bool:
        """Return whether to try another model. If the first model fails because of the message, no other
        model is tried. If a later one does, it may only have a smaller context window."""
        if self._begun or self._deadline.left <= 0:
            return False
        return failed > 1 or is_elsewhere_better(failure)

    def _failure(self, failures: dict[str, ProviderFailed]) -> ProviderFailed:
        """Return the failure with which the turn ends."""
        all_ = list(failures.values())
        if self._begun or len(all_) == 1:
            return all_[-1]
        all_[0].data["tried"] = [{"model": ref, "code": each.code} for ref, each in failures.items()]
        return all_[0]

    def _from(self, target: Target | AgentTarget | None) -> AsyncGenerator[Output, None]:
        """Return the outputs of one model."""
        question = self._question
        if question.message.given is not None and not isinstance(target, Target):
            question = question._replace(**as_text(question.peer, question.message, target)._asdict())
        if target is None:
            hint = "add a provider with a model that takes it"
            require_taken(question.message, TEXT_ONLY, OFFLINE, hint)
            return question.offline.send(question.message, question.history)
        if isinstance(target, AgentTarget):
            return self._through_agent(target, question)
        return self._online(target)

    async def _online(self, target: Target) -> AsyncGenerator[Output, None]:
        self._ref = target.ref
        await self._require_taken(target)
        with self._resources.cooldowns.admit(target, self._blamed) as admission:
            yield Began(target.ref)
            self._resources.prices.prepare(target)
            exchange, outputs = await self._start(target, once=admission.trial)
            try:
                self._begun = True
                admission.begun()
                while outputs:
                    for output in outputs:
                        # nearly all outputs are text, which is passed on as it is
                        if isinstance(output, Text):
                            yield output
                        else:
                            yield await self._finished(output, target, exchange, admission)
                    outputs = await exchange.read()
            finally:
                await exchange.aclose()

    async def _require_taken(self, target: Target) -> None:
        """Check that the model takes what the message carries besides its text, and leave out of the history
        what it does not take.

        Raises:
            InputUnsupported: it does not take it.
        """
        inputs, message, history = self._resources.inputs, self._question.message, self._question.history
        if message.given is not None:
            self._given = await given_request(target, self._question.peer.prompt, message, inputs)
            return
        asks = message.attachments or message.schema is not None
        if inputs is None or not (asks or any(past.attachments for past in history)):
            return
        takes = await inputs.of(target)
        require_taken(message, takes, target.ref, hint_for(target.ref))
        self._history = readable(history, takes)

    async def _through_agent(self, target: AgentTarget, question: Question) -> AsyncGenerator[Output, None]:
        """Yield the outputs of a coding agent, which retries by itself. It gets no tools."""
        agents, (peer, message, history, _) = self._resources.agents, question
        assert agents is not None  # it resolved the reference
        self._ref = target.ref
        require_taken(message, agents.takes(target), target.ref, AGENT_HINT)
        yield Began(target.ref)
        has_text = False
        await self._in_time(target, self._deadline.pause(agents.places.acquire()))
        try:
            self._deadline.call()
            async with aclosing(agents.outputs(target, peer, message, history)) as outputs:
                while output := await self._in_time(target, self._deadline.wait(anext(outputs, None))):
                    self._deadline.alive()
                    self._begun = self._begun or isinstance(output, Text)
                    if isinstance(output, Text) and output.channel == "answer":
                        has_text = has_text or bool(output.text.strip())
                    if isinstance(output, Done) and not has_text:
                        raise empty(target, output.finish_reason)
                    yield output
        finally:
            agents.places.release()

    async def _in_time(self, target: AgentTarget, awaitable: Awaitable[T]) -> T:
        try:
            return await awaitable
        except DeadlineExceeded as over:
            raise too_late(target, over.phase, getattr(self._resources.timeouts, over.phase)) from over

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

    async def _start(self, target: Target, *, once: bool) -> tuple[Exchange, Sequence[Output]]:
        """Call the model until an answer begins, and return that call with its first outputs. `once`: do not
        retry."""
        made = 0
        while True:
            made += 1
            self._deadline.call()
            try:
                exchange = self._exchange(await self._call(target))
                return exchange, await exchange.start()
            except ProviderFailed as failure:
                if once:
                    raise
                await self._pause(failure, made)

    async def _call(self, target: Target) -> Call:
        resources = self._resources
        try:
            client = await self._deadline.wait(resources.clients.get(target.provider))
        except DeadlineExceeded as over:
            seconds = getattr(resources.timeouts, over.phase)
            raise errors.timed_out(target, over.phase, seconds) from over
        return Call(target, client, self._deadline, resources.timeouts, resources.clock)

    def _exchange(self, call: Call) -> Exchange:
        """Return the call in the format of the provider's API. Subclasses make other calls."""
        target, question = call.target, self._question
        if self._given is not None:
            return StreamedExchange(call, self._given.request, self._given.parser())
        asked = (question.peer.prompt, self._history, question.message)
        if target.provider.kind == "anthropic":
            request = anthropic_messages.request(target, *asked)
            return StreamedExchange(call, request, anthropic_messages.Message(target))
        return StreamedExchange(call, openai_chat.request(target, *asked), openai_chat.Completion(target))

    async def _pause(self, failure: ProviderFailed, made: int) -> None:
        """Wait until another call may be made.

        Raises:
            ProviderFailed: `failure`, if no other call is to be made or no time is left for one.
        """
        if made > 1:
            failure.data["attempts"] = made
        seconds = self._resources.backoff.pause(failure, made)
        if seconds is None or seconds >= self._deadline.left:
            raise failure
        log.info("retrying model call", extra={"model": self._ref, "code": failure.code, "seconds": seconds})
        try:
            await self._deadline.pause(self._resources.backoff.sleep(seconds))
        except DeadlineExceeded as over:
            raise failure from over

    async def _finished(
        self, output: Output, target: Target, exchange: Exchange, admission: Admission
    ) -> Output:
        """Return an output from the end of the answer, with its cost if it is the usage."""
        if isinstance(output, Done):
            admission.answered()
        if not isinstance(output, Usage):
            return output
        written = exchange.cache_written
        cost = self._resources.prices.cost(target, output, written)
        output = replace(output, cache_written_tokens=written) if written else output
        try:
            return replace(output, cost=await self._deadline.wait(cost))
        except DeadlineExceeded:
            return output  # the answer is complete; a missing price is no reason to lose it
