"""Turns without tools over real HTTP, with the OpenAI and the Anthropic API."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, aclosing
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.domain.quota import reset_time
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.urls import Address
from rhetor.errors import (
    ContextOverflow,
    ModelUnknown,
    ProviderCut,
    ProviderDenied,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
)
from tests.provider import Failure, ProviderServer, Script
from tests.provider import Usage as Tokens
from tests.rhetor.drivers.talk import (
    APOLLO,
    NOW,
    anthropic_at,
    apollo_says,
    chat_driver,
    joined,
    openai_at,
    turn,
)

pytestmark = pytest.mark.anyio

At = Callable[[ProviderServer], dict[str, str]]
BOTH = pytest.mark.parametrize(("at", "ref"), [(openai_at, "openai/m"), (anthropic_at, "anthropic/m")])
SHORT = 1.0  # seconds, for the one timeout under test


@BOTH
async def test_a_turn_streams_text_then_usage_then_done(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(reasoning=("hm",), chunks=("Use ", "LRU"), usage=Tokens(12, 3, cached=4)))
        outputs, failure = await apollo_says(at(provider))
    assert failure is None
    assert joined(outputs) == [
        Began(ref),
        Text("hm", "reasoning"),
        Text("Use LRU"),
        Usage(ref, 12, 3, cached_tokens=4),
        Done("stop"),
    ]


HISTORY = [
    PastMessage("assistant", "cut off"),
    PastMessage("user", "Hi"),
    PastMessage("assistant", ""),
    PastMessage("assistant", "Hello"),
]


async def test_openai_receives_prompt_history_and_message() -> None:
    async with ProviderServer() as provider, chat_driver(openai_at(provider)) as driver:
        await turn(await driver.open(APOLLO), "Design a cache", HISTORY)
    assert provider.requests == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "You are Apollo."},
                {"role": "assistant", "content": "cut off"},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "Design a cache"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert [call.key for call in provider.calls] == ["sk-1"]


async def test_anthropic_receives_prompt_history_and_message() -> None:
    async with ProviderServer() as provider, chat_driver(anthropic_at(provider)) as driver:
        await turn(await driver.open(APOLLO), "Design a cache", HISTORY)
    assert provider.requests == [
        {
            "model": "m",
            "max_tokens": 16384,
            "system": "You are Apollo.",
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "Design a cache"},
            ],
            "stream": True,
        }
    ]


@BOTH
async def test_a_peer_without_a_system_prompt_sends_none(at: At, ref: str) -> None:
    async with ProviderServer() as provider, chat_driver(at(provider)) as driver:
        await turn(await driver.open(replace(APOLLO, prompt="")), "Hi")
    assert "system" not in provider.requests[0]
    assert provider.requests[0]["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("at", "theirs", "ours"),
    [
        (openai_at, "length", "length"),
        (openai_at, "function_call", "tool_calls"),
        (openai_at, "content_filter", "content_filter"),
        (anthropic_at, "length", "length"),
        (anthropic_at, "stop_sequence", "stop"),
        (anthropic_at, "model_context_window_exceeded", "length"),
        (anthropic_at, "content_filter", "refusal"),
        (anthropic_at, "tool_use", "tool_calls"),
    ],
)
async def test_the_finish_reason_is_reported_in_openais_terms(at: At, theirs: str, ours: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a",), finish=theirs))
        outputs, _ = await apollo_says(at(provider))
    assert outputs[-1] == Done(ours)


@BOTH
@pytest.mark.parametrize(
    ("refusal", "kind", "retryable"),
    [
        (Failure(401), ProviderDenied, False),
        (Failure(403), ProviderDenied, False),
        (Failure(404, "unknown_model"), ModelUnknown, False),
        (Failure(400, "context_overflow"), ContextOverflow, False),
        (Failure(413), ContextOverflow, False),
        (Failure(400), ProviderFailed, False),
        (Failure(302, headers={"location": "http://127.0.0.1:1/"}), ProviderFailed, False),
        (Failure(429), RateLimited, True),
        (Failure(529), RateLimited, True),
        (Failure(500), ProviderFailed, True),
        (Failure(503), ProviderFailed, True),
        (Failure(502, headers={"content-type": "text/html"}, body="<h1>no</h1>"), ProviderFailed, True),
    ],
)
async def test_an_error_status_raises_a_typed_error(
    at: At, ref: str, refusal: Failure, kind: type[ProviderFailed], retryable: bool
) -> None:
    async with ProviderServer(default=lambda asked: Script(failure=refusal)) as provider:
        outputs, failure = await apollo_says(at(provider))
    assert outputs == [Began(ref)]
    assert failure is not None
    assert (type(failure), failure.retryable) == (kind, retryable)
    assert {name: failure.data[name] for name in ("provider", "model", "status")} == {
        "provider": ref.partition("/")[0],
        "model": "m",
        "status": refusal.status,
    }
    assert failure.data["hint"]


async def test_an_error_has_the_providers_message_and_a_hint() -> None:
    async with ProviderServer() as provider:
        provider.script(Script(failure=Failure(401)))
        _, failure = await apollo_says(anthropic_at(provider))
    assert failure is not None
    host = provider.url.removeprefix("http://")
    assert failure.detail == f"anthropic refused the request: invalid x-api-key (401, m at {host})"
    assert failure.data == {
        "provider": "anthropic",
        "model": "m",
        "host": host,
        "status": 401,
        "hint": "check ANTHROPIC_API_KEY, and that the key may use m",
    }


async def test_an_exhausted_quota_is_not_retryable() -> None:
    async with ProviderServer() as provider:
        provider.script(Script(failure=Failure(429, "quota")))
        _, failure = await apollo_says(openai_at(provider))
    assert failure is not None
    assert (type(failure), failure.retryable, failure.data["status"]) == (ProviderFailed, False, 429)


async def test_a_key_repeated_by_the_provider_is_masked() -> None:
    async with ProviderServer() as provider:
        body = '{"error": {"message": "Incorrect API key provided: sk-1"}}'
        provider.script(Script(failure=Failure(401, body=body)))
        _, failure = await apollo_says(openai_at(provider))
    assert failure is not None
    told = "openai refused the request: Incorrect API key provided: [key] (401, m at "
    assert failure.detail.startswith(told)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT"}, 30.0),
        ({"retry-after": "Mon, 21 Sep 2020 14:13:50 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
async def test_every_form_of_retry_after_is_parsed(headers: dict[str, str], seconds: float | None) -> None:
    assert NOW == 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT
    refused = Script(failure=Failure(429, headers=headers))
    async with ProviderServer(default=lambda asked: refused) as provider:
        _, failure = await apollo_says(openai_at(provider))
    assert failure is not None
    assert failure.data.get("retry_after") == seconds


@BOTH
@pytest.mark.parametrize("fault", ["cut_after", "end_after", "malformed_after"])
@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_broken_stream_keeps_the_partial_output(at: At, ref: str, fault: str, after: int) -> None:
    faults: dict[str, Any] = {fault: after}
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b"), **faults))
        outputs, failure = await apollo_says(at(provider))
        assert len(provider.calls) == 1
    assert joined(outputs) == [Began(ref), *(Text(text) for text in ["ab"[:after]] if text)]
    assert isinstance(failure, ProviderCut)
    assert failure.retryable


@BOTH
async def test_an_error_event_within_a_stream_raises_a_typed_error(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b"), error_after=1, failure=Failure(500)))
        outputs, failure = await apollo_says(at(provider))
    assert outputs == [Began(ref), Text("a")]
    assert failure is not None
    assert (type(failure), failure.retryable, failure.data["status"]) == (ProviderFailed, True, 500)


@BOTH
async def test_an_overload_within_a_stream_is_reported_as_a_rate_limit(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a",), error_after=1, failure=Failure(429)))
        _, failure = await apollo_says(at(provider))
    assert type(failure) is RateLimited


async def test_a_provider_that_does_not_listen_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "RHETOR_MODEL": "m",
    }
    outputs, failure = await apollo_says(environment)
    assert outputs == [Began("openai/m")]
    assert isinstance(failure, ProviderUnreachable)
    assert failure.retryable


async def test_a_provider_that_closes_the_connection_is_unreachable() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/v1"
        _, failure = await apollo_says({"OPENAI_BASE_URL": url, "RHETOR_MODEL": "m"})
    assert isinstance(failure, ProviderUnreachable)


@pytest.mark.long
@BOTH
@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (Script(chunks=("a", "b"), hold={-1: "never"}), "first_chunk"),
        (Script(chunks=("a", "b"), hold={1: "never"}), "idle"),
        (Script(chunks=("a", "b"), trickle=0.05), "first_chunk"),
        (Script(chunks=("a",) * 100, delay=0.05), "total"),
    ],
    ids=["no answer", "no next chunk", "a byte at a time", "without end"],
)
async def test_every_phase_of_a_call_times_out(at: At, ref: str, script: Script, phase: str) -> None:
    async with ProviderServer() as provider:
        provider.script(script)
        async with chat_driver(at(provider), Timeouts(**{phase: SHORT})) as driver:
            await driver.preload()  # the import is not what is timed
            outputs, failure = await turn(await driver.open(APOLLO), "Design a cache")
            assert await provider.calls[0].ended() == "left"
        assert len(provider.calls) == 1
    assert outputs[0] == Began(ref)
    assert isinstance(failure, ProviderTimeout)
    assert (failure.data["phase"], failure.retryable) == (phase, True)


async def test_a_connection_attempt_times_out() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # nothing is accepted, so a full backlog keeps further callers waiting
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        environment = {"OPENAI_BASE_URL": url, "RHETOR_MODEL": "m"}
        _, failure = await apollo_says(environment, Timeouts(connect=SHORT))
    assert isinstance(failure, ProviderTimeout)
    assert failure.data["phase"] == "connect"


@BOTH
async def test_a_slow_reader_causes_no_timeout(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b"), hold={1: "go"}))
        async with chat_driver(at(provider), Timeouts(idle=SHORT)) as driver:
            await driver.preload()
            async with aclosing(await _sending(driver)) as outputs:
                assert [await anext(outputs), await anext(outputs)] == [Began(ref), Text("a")]
                await asyncio.sleep(2 * SHORT)  # the test is about time that passes
                provider.gate("go").release()
                assert await anext(outputs) == Text("b")


@BOTH
async def test_closing_a_turn_closes_the_call_to_the_provider(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b"), hold={1: "never"}))
        async with chat_driver(at(provider)) as driver:
            async with aclosing(await _sending(driver)) as outputs:
                assert [await anext(outputs), await anext(outputs)] == [Began(ref), Text("a")]
            assert await provider.calls[0].ended() == "left"


@BOTH
async def test_interrupting_ends_the_iterator_and_the_call(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b"), hold={1: "never"}), Script(chunks=("c",)))
        async with chat_driver(at(provider)) as driver:
            conversation = await driver.open(APOLLO)
            async with aclosing(conversation.send(Prompt("Design a cache"), ())) as outputs:
                assert [await anext(outputs), await anext(outputs)] == [Began(ref), Text("a")]
                rest = asyncio.create_task(_all(outputs))
                await provider.gate("never").reached()
                await conversation.interrupt()
                assert await rest == []
            assert await provider.calls[0].ended() == "left"
            again, failure = await turn(conversation, "Go on")
    assert (again[:2], failure) == ([Began(ref), Text("c")], None)


@BOTH
async def test_nothing_is_read_after_an_interruption(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a", "b", "c"), hold={1: "go", 2: "never"}))
        async with chat_driver(at(provider)) as driver:
            conversation = await driver.open(APOLLO)
            async with aclosing(conversation.send(Prompt("Design a cache"), ())) as outputs:
                assert [await anext(outputs), await anext(outputs)] == [Began(ref), Text("a")]
                provider.gate("go").release()
                await provider.gate("never").reached()
                await asyncio.sleep(0.05)  # until the second chunk has arrived; there is no event for that
                await conversation.interrupt()
                assert await _all(outputs) == []


@BOTH
async def test_interrupting_before_the_first_chunk_ends_the_call(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(hold={-1: "never"}))
        async with chat_driver(at(provider)) as driver:
            conversation = await driver.open(APOLLO)
            running = asyncio.create_task(turn(conversation, "Design a cache"))
            await provider.gate("never").reached()
            await conversation.interrupt()
            assert await running == ([Began(ref)], None)
            assert await provider.calls[0].ended() == "left"


@BOTH
async def test_cancelling_the_reader_raises_cancelled_error(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(hold={0: "never"}))
        async with chat_driver(at(provider)) as driver:
            running = asyncio.create_task(turn(await driver.open(APOLLO), "Design a cache"))
            await provider.gate("never").reached()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await provider.calls[0].ended() == "left"


@BOTH
async def test_consecutive_turns_share_a_connection(at: At, ref: str) -> None:
    async with ProviderServer() as provider, chat_driver(at(provider)) as driver:
        conversation = await driver.open(APOLLO)
        for _ in range(3):
            await turn(conversation, "Design a cache")
        assert len({call.port for call in provider.calls}) == 1


@BOTH
async def test_an_answer_is_complete_at_the_closing_event_not_at_the_end_of_the_body(
    at: At, ref: str
) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("a",), hold={2: "never"}))
        outputs, failure = await apollo_says(at(provider))
        assert ([type(output) for output in outputs], failure) == ([Began, Text, Usage, Done], None)
        assert await provider.calls[0].ended() == "left"


async def test_a_local_provider_without_a_key_gets_no_authorization_header() -> None:
    async with ProviderServer(key="") as provider:
        url = f"{provider.url}/v1"
        outputs, failure = await apollo_says({"OPENAI_BASE_URL": url, "RHETOR_MODEL": "m"})
        assert (outputs[-1], failure) == (Done("stop"), None)
        assert "authorization" not in provider.calls[0].headers


async def test_organization_variables_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    async with ProviderServer() as provider:
        await apollo_says(openai_at(provider))
        assert not {"openai-organization", "openai-project"} & set(provider.calls[0].headers)


async def test_without_a_provider_the_offline_model_answers() -> None:
    outputs, failure = await apollo_says({})
    assert (outputs[0], outputs[-1], failure) == (Began("offline"), Done("stop"), None)


async def test_an_unknown_model_fails_the_turn() -> None:
    async with chat_driver({}) as driver:
        outputs, failure = await turn(await driver.open(replace(APOLLO, model="nobody/m")), "Hi")
    assert (outputs, type(failure)) == ([], ModelUnknown)


async def _all(outputs: AsyncIterator[Output]) -> list[Output]:
    return [output async for output in outputs]


async def _sending(driver: Any) -> Any:
    conversation = await driver.open(APOLLO)
    return conversation.send(Prompt("Design a cache"), ())


class Resolver:
    """Returns the addresses one after the other for the same name, then the last one for ever."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)

    async def __call__(self, host: str) -> list[Address]:
        first = self._addresses[0]
        if len(self._addresses) > 1:
            self._addresses.pop(0)
        return [ip_address(first)]


async def test_the_checked_address_is_called_with_the_host_name() -> None:
    async with ProviderServer() as provider:
        place = provider.url.replace("127.0.0.1", "models.example")
        environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{place}/v1", "RHETOR_MODEL": "m"}
        async with chat_driver(environment, resolve=Resolver("127.0.0.1")) as driver:
            outputs, failure = await turn(await driver.open(APOLLO), "Hi")
        assert (outputs[-1], failure) == (Done("stop"), None)
        assert f"http://{provider.calls[0].headers['host']}" == place


async def test_a_host_name_that_changes_to_a_forbidden_address_is_not_called() -> None:
    async with ProviderServer() as provider:
        place = provider.url.replace("127.0.0.1", "models.example")
        environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{place}/v1", "RHETOR_MODEL": "m"}
        async with chat_driver(environment, resolve=Resolver("8.8.8.8", "169.254.169.254")) as driver:
            outputs, failure = await turn(await driver.open(APOLLO), "Hi")
        assert (outputs, type(failure)) == ([Began("openai/m")], ModelUnknown)
        assert provider.calls == []


async def test_localhost_is_called_on_whichever_address_it_listens() -> None:
    async with ProviderServer() as provider:
        url = provider.url.replace("127.0.0.1", "localhost")
        _, failure = await apollo_says(openai_at(provider) | {"OPENAI_BASE_URL": f"{url}/v1"})
    assert failure is None


@pytest.mark.parametrize(
    ("status", "headers", "body", "resets_in"),
    [
        (429, {"retry-after": "7200"}, None, 7200),
        (429, {"retry-after": "60"}, None, None),  # the call is repeated instead
        (429, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h0m0s"}, None, 3600),
        (429, {}, '{"error": {"message": "no quota", "details": [{"retryDelay": "7200s"}]}}', 7200),
        (
            429,
            {},
            '[{"error": {"message": "You exceeded your current quota, check your billing details. '
            'Please retry in 2h0m0s.", "status": "RESOURCE_EXHAUSTED"}}]',
            7200,
        ),
        (429, {}, '{"error": {"message": "try again later", "type": "rate_limit_error"}}', None),
        (429, {"retry-after": "7200"}, '{"error": {"message": "x", "code": "insufficient_quota"}}', None),
        (503, {"retry-after": "7200"}, None, None),
    ],
)
async def test_a_limit_has_the_time_at_which_it_resets_if_the_provider_says_it(
    status: int, headers: dict[str, str], body: str | None, resets_in: float | None
) -> None:
    refused = Script(failure=Failure(status, headers=headers, body=body))
    async with ProviderServer(default=lambda asked: refused) as provider:
        _, failure = await apollo_says(openai_at(provider))
    assert failure is not None
    expected = None if resets_in is None else reset_time(NOW + resets_in)
    assert failure.data.get("resets_at") == expected
