"""Turns with a given conversation over real HTTP, with both APIs, and with what only takes text."""

import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.given import CallOptions, GivenConversation, SaidCall, SaidReasoning, SaidText
from rhetor.domain.output import Began, Done, Output, Reasoned, Text, ToolResult, ToolUse, Usage
from rhetor.domain.tool import Tool
from rhetor.drivers.base import Conversation, PastMessage, Prompt
from rhetor.drivers.model_tools.driver import with_tools
from rhetor.drivers.model_tools.mcp_server import Limits
from rhetor.drivers.model_tools.servers import ToolServers
from rhetor.drivers.models.given.text import as_text
from rhetor.drivers.models.inputs import ModelInputs
from rhetor.drivers.models.target import AgentTarget, Provider
from rhetor.errors import (
    ContextOverflow,
    InputUnsupported,
    InvalidAnswer,
    ProviderCut,
    TurnFailure,
)
from tests.provider import Failure, ProviderServer, Script
from tests.provider import Usage as Tokens
from tests.provider.script import ToolCall
from tests.rhetor.drivers.talk import APOLLO, anthropic_at, chat_driver, here, joined, openai_at

from .conversations import LOOP, PNG, SCHEMA, WEATHER, asks, assistant, image, result, user

pytestmark = pytest.mark.anyio

At = Callable[[ProviderServer], dict[str, str]]
BOTH = pytest.mark.parametrize(("at", "ref"), [(openai_at, "openai/m"), (anthropic_at, "anthropic/m")])
Turn = tuple[list[Output], TurnFailure | None]
LOOKS = Script(
    reasoning=("h", "m"),
    redacted=("eA==",),
    chunks=("I ", "look."),
    tool_calls=(
        ToolCall("weather", '{"city": "Rome"}', "same", piece=5),
        ToolCall("weather", '{"city": "Oslo"}', "same", piece=3),
    ),
    usage=Tokens(9, 4, cached=3),
)


async def said(conversation: Conversation, prompt: Prompt, history: Sequence[PastMessage] = ()) -> Turn:
    outputs: list[Output] = []
    try:
        async with aclosing(conversation.send(prompt, history)) as stream:
            async for output in stream:
                outputs.append(output)
                if isinstance(output, ToolUse) and output.runs_at == "client":
                    await conversation.answer(output.call_id, ToolResult(output.call_id, "noon"))
    except TurnFailure as failure:
        return joined(outputs), failure
    return joined(outputs), None


async def apollo(environment: dict[str, str], given: GivenConversation, **more: Any) -> Turn:
    contents = more.pop("contents", {})
    async with chat_driver(environment, **more) as driver:
        return await said(await driver.open(APOLLO), Prompt("", given=given, contents=contents))


@BOTH
async def test_calls_of_the_clients_tools_end_the_turn(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(replace(LOOKS, interleaved=True))
        outputs, failure = await apollo(at(provider), LOOP)
        (request,) = provider.requests
    assert failure is None
    ids = [output.call_id for output in outputs if isinstance(output, ToolUse)]
    assert len(set(ids)) == 2
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    kept = [
        Reasoned("anthropic", thought),
        Reasoned("anthropic", {"type": "redacted_thinking", "data": "eA=="}),
    ]
    assert outputs == [
        Began(ref),
        Text("hm", "reasoning"),
        *(kept if at is anthropic_at else ()),
        Text("I look."),
        ToolUse(ids[0], "weather", {"city": "Rome"}, "caller"),
        ToolUse(ids[1], "weather", {"city": "Oslo"}, "caller"),
        Usage(ref, 9, 4, 3),
        Done("tool_calls"),
    ]
    assert len(request["messages"]) == (6 if at is openai_at else 3)
    assert [("function" in tool, "input_schema" in tool) for tool in request["tools"]] == [
        (at is openai_at, at is anthropic_at)
    ]


async def test_what_an_answer_kept_is_sent_back_to_the_provider_unchanged() -> None:
    async with ProviderServer() as provider:
        provider.script(LOOKS, Script(chunks=("Sunny.",)))
        first, _ = await apollo(anthropic_at(provider), asks("Weather?", tools=(WEATHER,)))
        blocks = [SaidReasoning("", each.vendor, each.data) for each in first if isinstance(each, Reasoned)]
        calls = [each for each in first if isinstance(each, ToolUse)]
        again = asks(
            "Weather?",
            assistant(
                *blocks, *(SaidCall(each.call_id, each.name, json.dumps(each.arguments)) for each in calls)
            ),
            user(*(result(each.call_id, "sunny") for each in calls)),
            tools=(WEATHER,),
            options=CallOptions("anthropic", more={"betas": ["interleaved-thinking-2025-05-14"]}),
        )
        outputs, failure = await apollo(anthropic_at(provider), again)
        content = provider.requests[1]["messages"][1]["content"]
        assert provider.calls[1].headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"
        assert provider.calls[1].key == "sk-1"
    assert failure is None
    assert outputs[1] == Text("Sunny.")
    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "tool_use", "tool_use"]
    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


async def test_tokens_that_the_provider_writes_to_its_cache_are_counted() -> None:
    async with ProviderServer() as provider:
        provider.script(Script(chunks=("Yes.",), usage=Tokens(9, 1, cached=3, written=4)))
        outputs, _ = await apollo(anthropic_at(provider), asks("Hi"))
    assert outputs[-2] == Usage("anthropic/m", 9, 1, 3, cache_written_tokens=4)


async def test_a_fallback_at_another_api_gets_the_same_conversation() -> None:
    async with ProviderServer() as one, ProviderServer(key="") as other:
        one.script(Script(failure=Failure(403)))
        other.script(Script(chunks=("Yes.",)))
        providers = {"spare": here(other)}
        outputs, failure = await apollo(anthropic_at(one), LOOP, providers=providers, fallbacks=("spare/n",))
        assert [len(one.requests[0]["messages"]), len(other.requests[0]["messages"])] == [3, 6]
    assert failure is None
    assert [type(output) for output in outputs] == [Began, Began, Text, Usage, Done]


async def test_a_parameter_that_the_model_does_not_have_uses_the_fallback_or_is_named() -> None:
    given = asks("Hi", options=CallOptions(more={"seed": 1}))
    async with ProviderServer() as one, ProviderServer(key="") as other:
        outputs, failure = await apollo(anthropic_at(one), given)
        assert (outputs, type(failure)) == ([], InputUnsupported)
        assert failure is not None
        assert failure.data["unsupported"] == "seed"
        providers = {"spare": here(other)}
        outputs, failure = await apollo(anthropic_at(one), given, providers=providers, fallbacks=("spare/n",))
        assert (outputs[0], failure) == (Began("spare/n"), None)
        assert (len(one.calls), other.requests[0]["seed"]) == (0, 1)


@BOTH
async def test_a_call_is_retried_until_its_answer_begins_and_fails_if_that_is_cut(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(failure=Failure(503)), Script(chunks=("a", "b"), cut_after=1))
        outputs, failure = await apollo(at(provider), LOOP)
        assert provider.requests[0] == provider.requests[1]
    assert (outputs, type(failure)) == ([Began(ref), Text("a")], ProviderCut)


@BOTH
async def test_a_context_that_is_too_long_is_named(at: At, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(failure=Failure(400, "context_overflow")))
        _, failure = await apollo(at(provider), LOOP)
    assert isinstance(failure, ContextOverflow)


async def test_a_turn_that_is_interrupted_during_a_call_ends_without_it() -> None:
    async with ProviderServer() as provider, chat_driver(anthropic_at(provider)) as driver:
        provider.script(replace(LOOKS, reasoning=(), hold={4: "stop"}))
        conversation = await driver.open(APOLLO)
        outputs: list[Output] = []
        async with aclosing(conversation.send(Prompt("", given=LOOP), ())) as stream:
            async for output in stream:
                outputs.append(output)
                if isinstance(output, Text) and "look" in output.text:
                    await provider.gate("stop").reached()
                    await conversation.interrupt()
        assert not [output for output in outputs if isinstance(output, ToolUse | Done)]
        assert await provider.calls[0].ended() == "left"


class Takes(ModelInputs):
    """Models that take what a test says."""

    def __init__(self, *takes: Any) -> None:
        async def listed(provider: Provider) -> dict[str, Any]:
            return {"m": frozenset(takes)}

        super().__init__(listed)


async def test_a_part_that_the_model_does_not_take_is_mentioned_or_refused() -> None:
    earlier = asks(user("Look", image("a.png")), assistant("Nice."), "And now?")
    async with ProviderServer() as provider:
        where = anthropic_at(provider)
        await apollo(where, earlier, contents={"b_1": PNG}, inputs=Takes())
        assert provider.requests[0]["messages"][0]["content"] == [
            {"type": "text", "text": "Look"},
            {"type": "text", "text": "[This message had a.png with it.]"},
        ]
        await apollo(where, earlier, contents={"b_1": PNG}, inputs=Takes("image"))
        assert provider.requests[1]["messages"][0]["content"][1]["type"] == "image"
        _, refused = await apollo(where, asks(user(image())), contents={"b_1": PNG}, inputs=Takes())
        _, gone = await apollo(where, asks(user(image("a.png"))), inputs=Takes("image"))
        assert len(provider.calls) == 2
    assert isinstance(refused, InputUnsupported)
    assert refused.data["unsupported"] == "image/png"
    assert isinstance(gone, InputUnsupported)
    assert "a.png, whose content is not kept any more" in gone.detail


async def test_an_answer_by_a_schema_is_checked_only_if_it_is_complete() -> None:
    given = asks("Where?", tools=(WEATHER,), options=CallOptions(schema=SCHEMA))
    async with ProviderServer() as provider:
        where = openai_at(provider)
        _, unable = await apollo(where, given, inputs=Takes())
        assert isinstance(unable, InputUnsupported)
        provider.script(
            Script(chunks=('{"city": 1}',)),
            Script(chunks=('{"city": "R',), finish="length"),
            replace(LOOKS, reasoning=()),
        )
        inputs = ModelInputs(Takes()._listed, {"openai/m": frozenset({"json"})})
        _, wrong = await apollo(where, given, inputs=inputs)
        cut, none = await apollo(where, given, inputs=inputs)
        called, no_failure = await apollo(where, given, inputs=inputs)
        assert provider.requests[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert isinstance(wrong, InvalidAnswer)
    assert (cut[-1], none) == (Done("length"), None)
    assert (called[-1], no_failure) == (Done("tool_calls"), None)


async def test_large_parts_are_sent_byte_for_byte() -> None:
    content = PNG * 40_000
    async with ProviderServer() as provider:
        await apollo(openai_at(provider), asks(user(image())), contents={"b_1": content})
        url = provider.requests[0]["messages"][1]["content"][0]["image_url"]["url"]
    assert len(url) > len(content) * 4 / 3


@pytest.mark.long
async def test_a_turn_with_tools_of_the_hub_gets_the_conversation_as_text_and_the_options() -> None:
    given = asks(
        user("Hi", image()),
        assistant(SaidCall("c1", "weather", "{}")),
        user(result("c1", "sunny")),
        assistant("Sunny."),
        "What time is it?",
        system=(SaidText("Be brief."),),
        options=CallOptions("anthropic", max_tokens=77, temperature=0.5, more={"top_k": 3}),
    )
    async with ProviderServer() as provider, chat_driver(anthropic_at(provider)) as chat:
        provider.script(Script(tool_calls=(ToolCall("clock"),)), Script(chunks=("Noon.",)))
        driver = with_tools(chat, ToolServers({}, {}, "/", Limits(60, 60)))
        prompt = Prompt("", given=given, contents={"b_1": PNG}, tools=(Tool("clock"),))
        outputs, failure = await said(await driver.open(APOLLO), prompt)
        first = provider.requests[0]
    assert failure is None
    assert [output.runs_at for output in outputs if isinstance(output, ToolUse)] == ["client"]
    assert "You are Apollo.\n\nBe brief." in json.dumps(first["system"]).replace("\\n", "\n")
    assert (first["max_tokens"], first["temperature"], first["top_k"]) == (77, 0.5, 3)
    assert [message["role"] for message in first["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert "[Result of weather: sunny]" in json.dumps(first["messages"][2])


async def test_the_clients_tools_replace_those_of_the_hub() -> None:
    async with ProviderServer() as provider, chat_driver(anthropic_at(provider)) as chat:
        provider.script(replace(LOOKS, reasoning=()))
        driver = with_tools(chat, ToolServers({}, {}, "/", Limits(60, 60)))
        prompt = Prompt("", given=LOOP, tools=(Tool("clock"),))
        outputs, _ = await said(await driver.open(replace(APOLLO, mcp_servers=("gone",))), prompt)
        assert [tool["name"] for tool in provider.requests[0]["tools"]] == ["weather"]
    assert {output.runs_at for output in outputs if isinstance(output, ToolUse)} == {"caller"}


async def test_the_offline_text_answers_as_ever() -> None:
    outputs, failure = await apollo({}, asks("Hi", assistant("Yes?"), "Design a cache", tools=(WEATHER,)))
    text = "".join(output.text for output in outputs if isinstance(output, Text))
    assert failure is None
    assert "“Design a cache”. The conversation has 2 earlier messages." in text
    assert outputs[-1] == Done("stop")


AGENT = AgentTarget("claude", "claude-code")


def test_an_agent_gets_the_conversation_as_text() -> None:
    given = replace(LOOP, tools=(), options=CallOptions("anthropic", max_tokens=5, effort="low"))
    peer, prompt, history = as_text(APOLLO, Prompt("", given=given), AGENT)
    assert peer.prompt == "You are Apollo.\n\nBe brief."
    assert prompt.content == "[Result of weather: sunny]\n\n[Error of weather: no city]\n\nAnd now?"
    assert [(past.role, past.content) for past in history] == [
        ("user", "What is the weather in Rome and Oslo?"),
        (
            "assistant",
            'I look.\n\n[Call of weather: {"city":"Rome"}]\n\n[Call of weather: {"city":"Oslo"}]',
        ),
    ]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (LOOP, "tools"),
        (asks("Hi", options=CallOptions(temperature=0.5)), "temperature"),
        (asks("Hi", options=CallOptions(max_tokens=5)), "max_tokens"),
        (asks("Hi", options=CallOptions(json=True)), "response_format"),
        (asks("Hi", options=CallOptions(more={"seed": 1})), "seed"),
    ],
)
def test_an_agent_refuses_what_it_cannot_do_by_name(given: GivenConversation, name: str) -> None:
    with pytest.raises(InputUnsupported) as caught:
        as_text(APOLLO, Prompt("", given=given), AGENT)
    assert caught.value.data["unsupported"] == name
