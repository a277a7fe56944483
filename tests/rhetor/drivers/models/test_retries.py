"""How often a provider is called in one turn, and with which pauses: over real HTTP, without waiting."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest

from rhetor.domain.output import Began, Done, Text
from rhetor.drivers.base import Prompt
from rhetor.drivers.models.cooldown import Backoff
from rhetor.drivers.models.deadline import Timeouts
from rhetor.errors import (
    ContextOverflow,
    ModelUnknown,
    ProviderDenied,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
)
from tests.provider import Failure, ProviderServer, Script
from tests.rhetor.drivers.models.test_driver import BOTH, SHORT, At
from tests.rhetor.drivers.talk import APOLLO, Naps, apollo_says, backoff, chat_driver, joined, openai_at, turn

pytestmark = pytest.mark.anyio


def refusing(failure: Failure) -> ProviderServer:
    """A provider that fails every call in this way."""
    return ProviderServer(default=lambda asked: Script(failure=failure))


@BOTH
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
async def test_a_retryable_error_is_retried_twice_with_growing_pauses(at: At, ref: str, status: int) -> None:
    naps = Naps()
    async with refusing(Failure(status)) as provider:
        outputs, failure = await apollo_says(at(provider), backoff=backoff(naps))
        assert len(provider.calls) == 3
    assert (outputs, naps) == ([Began(ref)], [0.25, 0.5])
    assert isinstance(failure, ProviderFailed)
    assert (failure.retryable, failure.data["status"], failure.data["attempts"]) == (True, status, 3)


@BOTH
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Failure(302, headers={"location": "http://127.0.0.1:1/"}), ProviderFailed),
        (Failure(400), ProviderFailed),
        (Failure(400, "context_overflow"), ContextOverflow),
        (Failure(400, "quota"), ProviderFailed),
        (Failure(401), ProviderDenied),
        (Failure(402), ProviderFailed),
        (Failure(403), ProviderDenied),
        (Failure(404, "unknown_model"), ModelUnknown),
        (Failure(408), ProviderFailed),
        (Failure(409), ProviderFailed),
        (Failure(413), ContextOverflow),
        (Failure(422), ProviderFailed),
        (Failure(429, "quota"), ProviderFailed),
        (Failure(500, "context_overflow"), ContextOverflow),
    ],
)
async def test_a_permanent_error_is_not_retried(
    at: At, ref: str, refusal: Failure, kind: type[ProviderFailed]
) -> None:
    naps = Naps()
    async with refusing(refusal) as provider:
        outputs, failure = await apollo_says(at(provider), backoff=backoff(naps))
        assert len(provider.calls) == 1
    assert (outputs, type(failure), naps) == ([Began(ref)], kind, [])
    assert failure is not None
    assert {name: failure.data[name] for name in ("provider", "model", "status")} == {
        "provider": ref.partition("/")[0],
        "model": "m",
        "status": refusal.status,
    }
    assert failure.data["hint"]


@BOTH
async def test_an_answer_after_two_errors_completes_the_turn(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(failure=Failure(503)), Script(failure=Failure(429)), Script(chunks=("a", "b")))
        outputs, failure = await apollo_says(at(provider))
        assert len(provider.calls) == 3
    assert failure is None
    assert (joined(outputs)[:2], outputs[-1]) == ([Began(ref), Text("ab")], Done("stop"))


@BOTH
@pytest.mark.parametrize(
    ("headers", "naps"),
    [
        ({"retry-after": "7"}, [7.0, 7.0]),
        ({"retry-after": "60"}, [60.0, 60.0]),
        ({"retry-after-ms": "1500"}, [1.5, 1.5]),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT"}, [30.0, 30.0]),
        ({"retry-after": "0"}, [0.25, 0.5]),
        ({"retry-after": "Mon, 21 Sep 2020 14:13:50 GMT"}, [0.25, 0.5]),
        ({"retry-after": "soon"}, [0.25, 0.5]),
        ({"retry-after": "61"}, []),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:21 GMT"}, []),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured_up_to_a_minute(
    at: At, ref: str, status: int, headers: dict[str, str], naps: list[float]
) -> None:
    slept = Naps()
    async with refusing(Failure(status, headers=headers)) as provider:
        _, failure = await apollo_says(at(provider), backoff=backoff(slept))
        assert len(provider.calls) == len(naps) + 1
    assert slept == naps
    assert failure is not None
    assert naps or failure.data["retry_after"] == 61.0


@BOTH
async def test_an_error_event_before_the_first_chunk_is_retried(at: At, ref: str) -> None:
    overloaded = Script(chunks=("a",), error_after=0, failure=Failure(529 if at is not openai_at else 429))
    async with ProviderServer() as provider:
        provider.script(overloaded, overloaded, Script(chunks=("b",)))
        outputs, failure = await apollo_says(at(provider))
        assert len(provider.calls) == 3
    assert (outputs[:2], failure) == ([Began(ref), Text("b")], None)


@BOTH
async def test_an_error_event_after_the_first_chunk_ends_the_turn(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b"), error_after=1, failure=Failure(429)))
        outputs, failure = await apollo_says(at(provider))
        assert len(provider.calls) == 1
    assert (outputs, type(failure)) == ([Began(ref), Text("a")], RateLimited)


@BOTH
async def test_an_error_after_reasoning_is_not_retried(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(reasoning=("hm",), chunks=("a",), error_after=1, failure=Failure(500)))
        outputs, failure = await apollo_says(at(provider))
        assert len(provider.calls) == 1
    assert (outputs, type(failure)) == ([Began(ref), Text("hm", "reasoning")], ProviderFailed)


@pytest.mark.long
@BOTH
@pytest.mark.parametrize("phase", ["first_chunk", "idle", "total"])
async def test_a_timeout_during_an_answer_is_not_retried(at: At, ref: str, phase: str) -> None:
    hold = {-1 if phase == "first_chunk" else 1: "never"}
    limits = {"first_chunk": Timeouts(first_chunk=SHORT), "idle": Timeouts(idle=SHORT)}
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b"), hold=hold))
        async with chat_driver(at(provider), limits.get(phase, Timeouts(total=SHORT))) as driver:
            await driver.preload()
            _, failure = await turn(await driver.open(APOLLO), "Design a cache")
        assert len(provider.calls) == 1
    assert isinstance(failure, ProviderTimeout)
    assert (failure.data["phase"], failure.data["provider"], failure.data["model"]) == (
        phase,
        ref.partition("/")[0],
        "m",
    )


@dataclass
class ClosingServer:
    """A server that reads each request and closes the connection. `accepted`: how many connections it had."""

    url: str = ""
    accepted: int = 0


@asynccontextmanager
async def closing_server() -> AsyncIterator[ClosingServer]:
    closing = ClosingServer()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing.accepted += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        closing.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield closing


async def test_a_provider_that_closes_the_connection_is_called_three_times() -> None:
    naps = Naps()
    async with closing_server() as closing:
        environment = {"OPENAI_BASE_URL": closing.url, "RHETOR_MODEL": "m"}
        _, failure = await apollo_says(environment, backoff=backoff(naps))
        assert closing.accepted == 3
    assert (type(failure), naps) == (ProviderUnreachable, [0.25, 0.5])


async def test_reading_a_providers_list_of_models_is_tried_three_times() -> None:
    naps = Naps()
    async with closing_server() as closing:
        outputs, failure = await apollo_says({"OPENAI_BASE_URL": closing.url}, backoff=backoff(naps))
    assert (outputs, type(failure)) == ([], ProviderUnreachable)
    # not the number of connections: aiohttp repeats a GET if its connection was closed
    assert naps == [0.25, 0.5]


async def test_a_port_on_which_nothing_listens_is_tried_three_times() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    naps = Naps()
    environment = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "RHETOR_MODEL": "m"}
    _, failure = await apollo_says(environment, backoff=backoff(naps))
    assert isinstance(failure, ProviderUnreachable)
    assert (failure.data["attempts"], naps) == (3, [0.25, 0.5])


async def test_a_connection_that_times_out_is_tried_three_times() -> None:
    naps = Naps()
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # nothing is accepted, so a full backlog keeps further callers waiting
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        environment = {"OPENAI_BASE_URL": url, "RHETOR_MODEL": "m"}
        _, failure = await apollo_says(environment, Timeouts(connect=SHORT / 3), backoff=backoff(naps))
    assert isinstance(failure, ProviderTimeout)
    assert (failure.data["phase"], failure.data["attempts"], naps) == ("connect", 3, [0.25, 0.5])


async def test_a_pause_longer_than_the_rest_of_the_turn_is_not_started() -> None:
    naps = Naps()
    async with refusing(Failure(429, headers={"retry-after": "7"})) as provider:
        _, failure = await apollo_says(openai_at(provider), Timeouts(total=5), backoff=backoff(naps))
        assert len(provider.calls) == 1
    assert failure is not None
    assert (type(failure), failure.data["retry_after"], naps) == (RateLimited, 7.0, [])


@pytest.mark.long
@BOTH
async def test_each_call_has_its_own_first_chunk_timeout(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        first_chunk = 2.0  # shorter than both calls together, and much longer than one
        slow = Script(failure=Failure(503), head_delay=first_chunk * 0.6)
        provider.script(slow, Script(chunks=("a",), head_delay=first_chunk * 0.6))
        async with chat_driver(at(provider), Timeouts(first_chunk=first_chunk)) as driver:
            await driver.preload()
            outputs, failure = await turn(await driver.open(APOLLO), "Design a cache")
        assert len(provider.calls) == 2
    assert (outputs[-1], failure) == (Done("stop"), None)


class EndlessSleep:
    """A sleep that never ends; `begun` is set when it begins."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.begun.set()
        await asyncio.Event().wait()


async def test_a_pause_counts_only_towards_the_total_timeout() -> None:
    async with refusing(Failure(503)) as provider:
        timeouts = Timeouts(first_chunk=SHORT / 3, idle=SHORT / 3, total=SHORT)
        endless_backoff = Backoff(dice=lambda: 0.01, sleep=EndlessSleep())
        async with chat_driver(openai_at(provider), timeouts, backoff=endless_backoff) as driver:
            await driver.preload()
            begun = asyncio.get_running_loop().time()
            _, failure = await turn(await driver.open(APOLLO), "Design a cache")
            assert asyncio.get_running_loop().time() - begun >= SHORT * 0.9
        assert len(provider.calls) == 1
    assert failure is not None
    assert (type(failure), failure.data["status"]) == (ProviderFailed, 503)


async def test_interrupting_ends_a_pause_and_no_retry_follows() -> None:
    endless = EndlessSleep()
    async with refusing(Failure(503)) as provider:
        async with chat_driver(openai_at(provider), backoff=Backoff(sleep=endless)) as driver:
            conversation = await driver.open(APOLLO)
            running = asyncio.create_task(turn(conversation, "Design a cache"))
            await endless.begun.wait()
            await conversation.interrupt()
            assert await running == ([Began("openai/m")], None)
        assert len(provider.calls) == 1


async def test_cancelling_ends_a_pause_and_raises_cancelled_error() -> None:
    endless = EndlessSleep()
    async with refusing(Failure(503)) as provider:
        async with chat_driver(openai_at(provider), backoff=Backoff(sleep=endless)) as driver:
            running = asyncio.create_task(turn(await driver.open(APOLLO), "Design a cache"))
            await endless.begun.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert len(provider.calls) == 1


@BOTH
async def test_a_failed_call_leaves_its_connection_open_for_the_next(at: At, ref: str) -> None:
    async with ProviderServer() as provider, chat_driver(at(provider)) as driver:
        provider.script(Script(failure=Failure(503)), Script(failure=Failure(503)))
        async with aclosing((await driver.open(APOLLO)).send(Prompt("Hi"), ())) as outputs:
            assert [type(output) async for output in outputs][-1] is Done
        assert len({call.port for call in provider.calls}) == 1
