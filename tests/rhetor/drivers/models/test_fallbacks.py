"""Which model answers if the peer's own model does not, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.drivers.models.cooldown import Backoff, Cooldowns
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.driver import ChatDriver
from rhetor.drivers.models.resolve import ProviderEntry
from rhetor.errors import (
    ContextOverflow,
    ModelUnknown,
    ProviderCut,
    ProviderDenied,
    ProviderFailed,
    ProviderTimeout,
    RateLimited,
    TurnFailure,
)
from tests.provider import Failure, ProviderServer, Script
from tests.provider import Usage as Tokens
from tests.rhetor.drivers.models.test_driver import SHORT
from tests.rhetor.drivers.talk import APOLLO, chat_driver, here, openai_at, turn

pytestmark = pytest.mark.anyio

Turn = tuple[list[Output], TurnFailure | None]


@asynccontextmanager
async def two(
    first: Script, second: Script, fallbacks: tuple[str, ...] = ("spare/n",), **more: Any
) -> AsyncIterator[tuple[ChatDriver, ProviderServer, ProviderServer]]:
    """A driver whose `auto` is openai/m at the first provider; `spare` is the second."""
    async with (
        ProviderServer(default=lambda asked: first) as one,
        ProviderServer(default=lambda asked: second, key="") as other,
        chat_driver(openai_at(one), providers={"spare": here(other)}, fallbacks=fallbacks, **more) as driver,
    ):
        await driver.preload()
        yield driver, one, other


async def apollo(driver: ChatDriver, model: str = "auto") -> Turn:
    return await turn(await driver.open(replace(APOLLO, model=model)), "Design a cache")


FINE = Script(chunks=("b",), usage=Tokens(5, 1))
ANSWER = [Text("b"), Usage("spare/n", 5, 1, 0), Done("stop")]


@pytest.mark.parametrize(
    ("failure", "calls"),
    [
        (Failure(401), 1),
        (Failure(403), 1),
        (Failure(404, "unknown_model"), 1),
        (Failure(429, "quota"), 1),
        (Failure(400, "quota"), 1),
        (Failure(402), 1),
        (Failure(429, headers={"retry-after": "61"}), 1),
        (Failure(429), 3),
        (Failure(500), 3),
        (Failure(529), 3),
    ],
)
async def test_the_second_model_answers_if_the_first_one_cannot(failure: Failure, calls: int) -> None:
    async with two(Script(failure=failure), FINE) as (driver, one, other):
        outputs, failed = await apollo(driver)
        assert (len(one.calls), len(other.calls)) == (calls, 1)
    assert (outputs, failed) == ([Began("openai/m"), Began("spare/n"), *ANSWER], None)
    assert other.requests[0]["model"] == "n"
    assert other.requests[0]["messages"] == one.requests[0]["messages"]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(400), ProviderFailed),
        (Failure(422), ProviderFailed),
        (Failure(413), ContextOverflow),
        (Failure(400, "context_overflow"), ContextOverflow),
    ],
)
async def test_an_error_caused_by_the_message_uses_no_fallback(
    failure: Failure, kind: type[ProviderFailed]
) -> None:
    async with two(Script(failure=failure), FINE) as (driver, one, other):
        outputs, failed = await apollo(driver)
        assert (len(one.calls), len(other.calls)) == (1, 0)
    assert (outputs, type(failed)) == ([Began("openai/m")], kind)


@pytest.mark.parametrize("fault", ["cut_after", "malformed_after", "error_after"])
async def test_an_answer_that_has_begun_uses_no_fallback(fault: str) -> None:
    faults: dict[str, Any] = {fault: 1, "failure": Failure(500) if fault == "error_after" else None}
    async with two(Script(chunks=("a", "b"), **faults), FINE) as (driver, one, other):
        outputs, failed = await apollo(driver)
        assert (len(one.calls), len(other.calls)) == (1, 0)
    assert outputs == [Began("openai/m"), Text("a")]
    assert failed is not None
    assert (failed.retryable, "tried" in failed.data) == (True, False)


async def test_an_answer_cut_before_its_first_chunk_uses_the_fallback() -> None:
    async with two(Script(chunks=("a",), cut_after=0), FINE) as (driver, one, other):
        outputs, failed = await apollo(driver)
        assert (len(one.calls), len(other.calls)) == (1, 1)
    assert (outputs[-1], failed) == (Done("stop"), None)


async def test_the_fallback_of_a_silent_model_has_its_own_first_chunk_timeout() -> None:
    hanging = Script(hold={-1: "never"})
    slow = msgspec.structs.replace(FINE, head_delay=SHORT * 0.6)
    async with two(hanging, slow, timeouts=Timeouts(first_chunk=SHORT)) as (driver, one, other):
        outputs, failed = await apollo(driver)
        assert (len(one.calls), len(other.calls)) == (1, 1)
        assert await one.calls[0].ended() == "left"
    assert (outputs[-1], failed) == (Done("stop"), None)


async def test_no_fallback_is_called_after_the_total_timeout() -> None:
    async with two(Script(hold={-1: "never"}), FINE, timeouts=Timeouts(total=SHORT)) as (driver, one, other):
        _, failed = await apollo(driver)
        assert (len(one.calls), len(other.calls)) == (1, 0)
    assert isinstance(failed, ProviderTimeout)
    assert (failed.data["phase"], "tried" in failed.data) == ("total", False)


async def test_a_fallback_answers_if_the_model_is_unknown_or_has_no_key() -> None:
    async with two(FINE, FINE) as (driver, one, other):
        for model in ("nobody/m", "anthropic/m"):
            assert await apollo(driver, model) == ([Began("spare/n"), *ANSWER], None)
        assert (len(one.calls), len(other.calls)) == (0, 2)


async def test_if_all_models_fail_the_error_of_the_first_lists_them_all() -> None:
    fallbacks = ("spare/n", "nobody/x", "spare/k")
    async with two(Script(failure=Failure(429)), Script(failure=Failure(401)), fallbacks) as (d, one, other):
        outputs, failed = await apollo(d)
        assert (len(one.calls), len(other.calls)) == (3, 2)
    assert outputs == [Began("openai/m"), Began("spare/n"), Began("spare/k")]
    assert isinstance(failed, RateLimited)
    assert (failed.data["provider"], failed.data["model"], failed.data["attempts"]) == ("openai", "m", 3)
    assert failed.data["tried"] == [
        {"model": "openai/m", "code": RateLimited.code},
        {"model": "spare/n", "code": ProviderDenied.code},
        {"model": "nobody/x", "code": ModelUnknown.code},
        {"model": "spare/k", "code": ProviderDenied.code},
    ]


async def test_a_message_too_long_for_one_fallback_is_sent_to_the_next() -> None:
    async with two(Script(failure=Failure(401)), FINE, ("spare/small", "spare/n")) as (driver, _, other):
        other.script(Script(failure=Failure(400, "context_overflow")))
        outputs, failed = await apollo(driver)
    assert outputs == [Began("openai/m"), Began("spare/small"), Began("spare/n"), *ANSWER]
    assert failed is None


async def test_no_model_is_called_twice_in_a_turn() -> None:
    async with two(Script(failure=Failure(401)), FINE, ("openai/m", "spare/n")) as (driver, one, _):
        outputs, _ = await apollo(driver)
        assert len(one.calls) == 1
    assert outputs == [Began("openai/m"), Began("spare/n"), *ANSWER]


async def test_a_fallback_that_is_cut_fails_the_turn_with_its_own_error() -> None:
    broken = Script(chunks=("b", "c"), cut_after=1)
    async with two(Script(failure=Failure(401)), broken, ("spare/n", "spare/k")) as (driver, _, other):
        outputs, failed = await apollo(driver)
        assert len(other.calls) == 1
    assert outputs == [Began("openai/m"), Began("spare/n"), Text("b")]
    assert isinstance(failed, ProviderCut)
    assert (failed.data["provider"], "tried" in failed.data) == ("spare", False)


async def test_without_a_fallback_the_error_is_unchanged() -> None:
    async with two(Script(failure=Failure(401)), FINE, ()) as (driver, _, other):
        _, failed = await apollo(driver)
        assert other.calls == []
    assert failed is not None
    assert set(failed.data) == {"provider", "model", "host", "status", "hint"}


async def test_during_a_cooldown_turns_go_directly_to_the_fallback() -> None:
    cooldowns = Cooldowns(lambda: 1000.0)
    async with two(Script(failure=Failure(503)), FINE, cooldowns=cooldowns) as (driver, one, other):
        for _ in range(3):
            assert (await apollo(driver))[0] == [Began("openai/m"), Began("spare/n"), *ANSWER]
        assert (len(one.calls), len(other.calls)) == (9, 3)
        assert await apollo(driver) == ([Began("spare/n"), *ANSWER], None)
        assert (len(one.calls), len(other.calls)) == (9, 4)
        other.script(Script(failure=Failure(401)))
        outputs, failed = await apollo(driver)
    assert outputs == [Began("spare/n")]
    assert failed is not None
    assert failed.code == "provider_cooling"
    assert failed.data["tried"] == [
        {"model": "openai/m", "code": "provider_cooling"},
        {"model": "spare/n", "code": "provider_denied"},
    ]


async def test_after_an_interrupt_no_fallback_is_called() -> None:
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    async with two(Script(failure=Failure(503)), FINE, backoff=Backoff(sleep=sleep)) as (driver, one, other):
        conversation = await driver.open(APOLLO)
        running = asyncio.create_task(turn(conversation, "Design a cache"))
        await asleep.wait()
        await conversation.interrupt()
        assert await running == ([Began("openai/m")], None)
        assert (len(one.calls), len(other.calls)) == (1, 0)


async def test_the_offline_model_needs_no_fallback() -> None:
    async with (
        ProviderServer(key="") as other,
        chat_driver({}, providers={"spare": here(other)}, fallbacks=("spare/n",)) as driver,
    ):
        outputs, failed = await apollo(driver)
        assert other.calls == []
    assert (outputs[0], outputs[-1], failed) == (Began("offline"), Done("stop"), None)


async def test_a_fallback_is_called_with_the_api_of_its_own_provider() -> None:
    async with (
        ProviderServer(default=lambda asked: Script(failure=Failure(401))) as one,
        ProviderServer(default=lambda asked: FINE, key="") as other,
    ):
        spare = ProviderEntry("anthropic", other.url, allow_private=True)
        async with chat_driver(openai_at(one), providers={"spare": spare}, fallbacks=("spare/n",)) as driver:
            outputs, failed = await apollo(driver)
        assert [call.path for call in other.calls] == ["/v1/messages"]
    assert (outputs, failed) == ([Began("openai/m"), Began("spare/n"), *ANSWER], None)
