"""A provider that keeps failing is not called for a while, then tried again with one call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from rhetor.domain.output import Began, Done, Text
from rhetor.domain.quota import reset_time
from rhetor.drivers.base import Conversation, Prompt
from rhetor.drivers.models.cooldown import Cooldowns
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.driver import ChatDriver
from rhetor.drivers.models.target import Provider, Target
from rhetor.errors import ProviderCooling, ProviderDenied, ProviderFailed, ProviderTimeout, RateLimited
from tests.provider import Asked, Failure, ProviderServer, Script
from tests.rhetor.drivers.models.test_driver import SHORT
from tests.rhetor.drivers.talk import APOLLO, NOW, chat_driver, openai_at, turn

pytestmark = pytest.mark.anyio

DOWN = Failure(503)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Answers:
    """The answer of a provider to every call, which a test can change."""

    def __init__(self) -> None:
        self.script = Script(failure=DOWN)

    def __call__(self, asked: Asked) -> Script:
        return self.script


class Talk:
    """Turns with one provider, and how many calls each of them made."""

    def __init__(self, driver: ChatDriver, provider: ProviderServer, answers: Answers, clock: Clock) -> None:
        self.driver = driver
        self.provider = provider
        self.answers = answers
        self.clock = clock

    async def run_turns(self, script: Script | None = None, *, times: int = 1) -> list[tuple[str, int]]:
        """For each turn, its error code ("" if it was answered) and the number of calls that it made."""
        self.answers.script = script or self.answers.script
        found = []
        for _ in range(times):
            before = len(self.provider.calls)
            _, failure = await turn(await self.conversation(), "Design a cache")
            found.append((failure.code if failure else "", len(self.provider.calls) - before))
        return found

    async def conversation(self) -> Conversation:
        return await self.driver.open(APOLLO)


@asynccontextmanager
async def talk(timeouts: Timeouts | None = None) -> AsyncIterator[Talk]:
    answers, clock = Answers(), Clock()
    async with (
        ProviderServer(default=answers) as provider,
        chat_driver(openai_at(provider), timeouts, cooldowns=Cooldowns(clock)) as driver,
    ):
        await driver.preload()
        yield Talk(driver, provider, answers, clock)


FAILED, COOLING = ("provider_failed", 3), ("provider_cooling", 0)
ANSWERED, TRIED = ("", 1), ("provider_failed", 1)
FINE = Script(chunks=("a",))


async def test_after_three_failed_turns_a_provider_is_not_called_until_its_cooldown_ends() -> None:
    async with talk() as t:
        assert await t.run_turns(times=4) == [FAILED, FAILED, FAILED, COOLING]
        t.clock.now += 29.9
        assert await t.run_turns() == [COOLING]
        t.clock.now += 0.1
        assert await t.run_turns(FINE) == [ANSWERED]
        assert await t.run_turns(Script(failure=DOWN), times=4) == [FAILED, FAILED, FAILED, COOLING]


async def test_cooldowns_double_up_to_five_minutes() -> None:
    async with talk() as t:
        assert await t.run_turns(times=3) == [FAILED] * 3
        for seconds in (30, 60, 120, 240, 300, 300):
            t.clock.now += seconds - 1
            assert await t.run_turns() == [COOLING]
            t.clock.now += 1
            assert await t.run_turns() == [TRIED]  # a trial is one call, without retries


async def test_an_answer_resets_the_count_of_failures() -> None:
    async with talk() as t:
        for _ in range(3):
            assert await t.run_turns(Script(failure=DOWN), times=2) == [FAILED] * 2
            assert await t.run_turns(FINE) == [ANSWERED]


async def test_the_cooldown_error_has_a_retry_time_and_a_hint() -> None:
    async with talk() as t:
        await t.run_turns(times=3)
        t.clock.now += 6.0
        outputs, failure = await turn(await t.conversation(), "Design a cache")
    assert outputs == []
    assert isinstance(failure, ProviderCooling)
    assert (failure.code, failure.status, failure.retryable) == ("provider_cooling", 502, True)
    told = "openai failed 3 turns in a row and will be called again in 24 s (m at 127.0.0.1:"
    assert failure.detail.startswith(told)
    assert {name: value for name, value in failure.data.items() if name != "host"} == {
        "provider": "openai",
        "model": "m",
        "status": None,
        "hint": "send the message again then, or set models.fallbacks to other models",
        "retry_after": 24.0,
    }


@pytest.mark.parametrize(("asked", "cooldown"), [("90", 90.0), ("86400", 3600.0)])
async def test_a_provider_with_retry_after_is_not_called_until_then(asked: str, cooldown: float) -> None:
    limited = Script(failure=Failure(429, headers={"retry-after": asked}))
    async with talk() as t:
        assert await t.run_turns(limited, times=3) == [("rate_limited", 1)] * 3
        t.clock.now += cooldown - 1
        assert await t.run_turns() == [COOLING]
        t.clock.now += 1
        assert await t.run_turns(FINE) == [ANSWERED]


async def test_all_turns_call_a_provider_again_when_its_usage_limit_was_reset() -> None:
    limited = Script(failure=Failure(429, headers={"retry-after": "90"}))
    async with talk() as t:
        assert await t.run_turns(limited, times=3) == [("rate_limited", 1)] * 3
        _, cooling = await turn(await t.conversation(), "Design a cache")
        assert cooling is not None
        assert (cooling.code, cooling.data["resets_at"]) == ("provider_cooling", reset_time(NOW + 90))
        t.clock.now += 90
        t.answers.script = Script(chunks=("a",), hold={0: "first"})
        turns = [asyncio.create_task(turn(await t.conversation(), "Design a cache")) for _ in range(3)]
        await t.provider.received(6)  # none waits for the answer of another
        t.provider.gate("first").release()
        assert [failure for _, failure in await asyncio.gather(*turns)] == [None] * 3


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Script(failure=Failure(401)), "provider_denied"),
        (Script(failure=Failure(400)), "provider_failed"),
        (Script(failure=Failure(404, "unknown_model")), "model_unknown"),
        (Script(failure=Failure(400, "context_overflow")), "context_overflow"),
        (Script(failure=Failure(429, "quota")), "provider_failed"),
        (Script(chunks=("a", "b"), cut_after=1), "provider_cut"),
    ],
)
async def test_failures_that_are_not_the_providers_state_start_no_cooldown(script: Script, code: str) -> None:
    async with talk() as t:
        assert await t.run_turns(script, times=5) == [(code, 1)] * 5


async def test_an_error_caused_by_the_request_resets_the_count_of_failures() -> None:
    async with talk() as t:
        for _ in range(2):
            assert await t.run_turns(Script(failure=DOWN), times=2) == [FAILED] * 2
            assert await t.run_turns(Script(failure=Failure(400))) == [TRIED]


async def test_timeouts_start_a_cooldown() -> None:
    async with talk(Timeouts(idle=SHORT / 3)) as t:
        hanging = Script(chunks=("a", "b"), hold={1: "never"})
        assert await t.run_turns(hanging, times=4) == [("timeout", 1)] * 3 + [COOLING]


async def test_one_turn_tries_the_provider_and_others_fail_until_its_first_chunk() -> None:
    async with talk() as t:
        await t.run_turns(times=3)
        t.clock.now += 30
        t.answers.script = Script(chunks=("a", "b"), hold={0: "first", 1: "rest"})
        async with aclosing((await t.conversation()).send(Prompt("Design a cache"), ())) as outputs:
            assert await anext(outputs) == Began("openai/m")
            first = asyncio.ensure_future(anext(outputs))
            await t.provider.gate("first").reached()
            _, failure = await turn(await t.conversation(), "Design a cache")
            assert isinstance(failure, ProviderCooling)
            assert failure.detail.startswith(
                "openai failed 3 turns in a row and is being called again (m at "
            )
            t.provider.gate("first").release()
            assert await first == Text("a")
            assert await t.run_turns(FINE) == [ANSWERED]
            t.provider.gate("rest").release()
            rest = [output async for output in outputs]
    assert (rest[0], rest[-1]) == (Text("b"), Done("stop"))


async def test_after_an_interrupted_trial_the_next_turn_tries() -> None:
    async with talk() as t:
        await t.run_turns(times=3)
        t.clock.now += 30
        t.answers.script = Script(hold={-1: "never"})
        conversation = await t.conversation()
        trial = asyncio.create_task(turn(conversation, "Design a cache"))
        await t.provider.gate("never").reached()
        await conversation.interrupt()
        assert await trial == ([Began("openai/m")], None)
        assert await t.run_turns(FINE) == [ANSWERED]


async def test_a_new_key_ends_the_cooldown() -> None:
    async with talk() as t:
        await t.run_turns(times=3)
        t.driver.resources.models.reset(openai_at(t.provider) | {"OPENAI_API_KEY": "sk-2"})
        assert await t.run_turns(FINE) == [ANSWERED]


def failing(cooldowns: Cooldowns, target: Target, failure: Exception, blamed: set[Provider]) -> None:
    with pytest.raises(type(failure)), cooldowns.admit(target, blamed):
        raise failure


TARGET = Target(Provider("p", "openai", "http://localhost"), "m")


def test_a_turn_counts_once_even_if_it_calls_several_models_of_a_provider() -> None:
    cooldowns, blamed = Cooldowns(Clock()), set[Provider]()
    for _ in range(5):
        failing(cooldowns, TARGET, RateLimited("slow down", retryable=True, status=429), blamed)
    with cooldowns.admit(TARGET, blamed) as admission:
        assert not admission.trial


def test_turns_started_before_the_cooldown_do_not_extend_it() -> None:
    clock = Clock()
    cooldowns, down = Cooldowns(clock), ProviderFailed("down", retryable=True, status=503)
    early = [cooldowns.admit(TARGET, set()) for _ in range(6)]
    for admission in early:
        with pytest.raises(ProviderFailed), admission:
            raise down
        clock.now += 1
    with pytest.raises(ProviderCooling) as cooling:
        cooldowns.admit(TARGET, set())
    assert cooling.value.data["retry_after"] == 26.0


@pytest.mark.parametrize(
    "failure",
    [
        ProviderTimeout("late", retryable=True, phase="total", status=None),
        ProviderDenied("no key", status=None),
        OSError("something else"),
    ],
)
def test_failures_unrelated_to_the_provider_are_not_counted(failure: Exception) -> None:
    clock = Clock()
    cooldowns, down = Cooldowns(clock), ProviderFailed("down", retryable=True, status=503)
    failing(cooldowns, TARGET, down, set())
    failing(cooldowns, TARGET, down, set())
    failing(cooldowns, TARGET, failure, set())
    failing(cooldowns, TARGET, down, set())
    with pytest.raises(ProviderCooling):
        cooldowns.admit(TARGET, set())
    clock.now += 30
    failing(cooldowns, TARGET, failure, set())
    assert cooldowns.admit(TARGET, set()).trial


def test_other_providers_are_not_affected_by_a_cooldown() -> None:
    cooldowns = Cooldowns(Clock())
    for _ in range(3):
        failing(cooldowns, TARGET, RateLimited("slow down", retryable=True, status=429), set())
    other = Target(Provider("q", "openai", "http://localhost"), "m")
    with cooldowns.admit(other, set()) as admission:
        assert not admission.trial
