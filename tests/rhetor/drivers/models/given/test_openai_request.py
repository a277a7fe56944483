"""Given conversations as requests for chat completions."""

from typing import Any

import pytest

from rhetor.domain.given import (
    CallOptions,
    GivenConversation,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidText,
)
from rhetor.domain.parts import GivenPart
from rhetor.drivers.models.given.openai_request import body
from rhetor.drivers.models.target import Target
from rhetor.errors import InputUnsupported

from .conversations import (
    CLOCK,
    ELSEWHERE,
    LOCAL,
    LOOP,
    OPENAI,
    OPENROUTER,
    PDF,
    PNG,
    SCHEMA,
    asks,
    assistant,
    at,
    image,
    result,
    user,
    with_options,
)

CALLS = (SaidCall("c1", "clock", "{}"),)


def sent(
    given: GivenConversation, target: Target = LOCAL, prompt: str = "", **contents: bytes
) -> dict[str, Any]:
    found = body(target, prompt, given, contents)
    assert found.pop("model") == target.model
    assert (found.pop("stream"), found.pop("stream_options")) == (True, {"include_usage": True})
    return found


def messages(given: GivenConversation, target: Target = LOCAL, **contents: bytes) -> Any:
    return sent(given, target, "", **contents)["messages"]


def test_a_conversation_with_calls_and_results_is_sent_as_it_was_given() -> None:
    assert sent(LOOP, prompt="You are Apollo.") == {
        "messages": [
            {"role": "system", "content": "You are Apollo.\n\nBe brief."},
            {"role": "user", "content": "What is the weather in Rome and Oslo?"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
                    },
                    {
                        "id": "c2",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "c2", "content": "no city"},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "The weather now", "parameters": SCHEMA},
            }
        ],
    }


def test_several_messages_of_one_side_become_one() -> None:
    given = asks(
        "Hi", "there", assistant("Yes?"), assistant(*CALLS), user("wait"), user(result("c1", "noon"))
    )
    assert messages(given) == [
        {"role": "user", "content": "Hi\n\nthere"},
        {
            "role": "assistant",
            "content": "Yes?",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        {"role": "user", "content": "wait"},
    ]


def test_openai_gets_the_texts_of_a_message_as_parts_and_other_servers_as_one_text() -> None:
    given = asks(user("a", "b"))
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert messages(given, OPENAI) == [{"role": "user", "content": parts}]
    assert messages(given, ELSEWHERE) == [{"role": "user", "content": "a\n\nb"}]


def test_images_documents_audio_and_text_files_are_parts() -> None:
    given = asks(
        user(
            "Look",
            image(),
            SaidPart(GivenPart("file", "application/pdf", "a.pdf", blob_id="b_2")),
            SaidPart(GivenPart("audio", "audio/wav", data=b"RIFF....WAVE")),
            SaidPart(GivenPart("file", "text/plain", "a.txt", data=b"hello")),
        )
    )
    assert messages(given, b_1=PNG, b_2=PDF)[0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgpB"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc="},
        },
        {"type": "input_audio", "input_audio": {"data": "UklGRi4uLi5XQVZF", "format": "wav"}},
        {"type": "text", "text": "[a.txt]\nhello"},
    ]


def test_the_image_of_a_result_follows_in_a_message_of_the_user() -> None:
    shown = result("c1", "here")
    shown = type(shown)("c1", (*shown.content, image()))
    tool, own = messages(asks("Hi", assistant(*CALLS), user(shown)), b_1=PNG)[2:]
    assert tool == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "here\n[More of this result follows in the next message of the user.]",
    }
    assert own["content"] == [
        {"type": "text", "text": "[From the result of c1:]"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgpB"}},
    ]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (asks("Hi", assistant(*CALLS), "And?"), "p/m needs a result of the call 'c1' in the next message"),
        (asks("Hi", assistant(*CALLS)), "p/m needs a result of the call 'c1' in the next message"),
        (
            asks(user(result("c1"))),
            "p/m does not accept the result of 'c1', which is not one of the preceding calls",
        ),
        (
            asks("Hi", assistant(*CALLS), user(result("c1"), result("c1"))),
            "p/m does not accept two results of one call",
        ),
        (asks("Hi", assistant(*CALLS, *CALLS), "And?"), "p/m does not accept two calls with the id 'c1'"),
    ],
)
def test_calls_and_results_must_match(given: GivenConversation, why: str) -> None:
    with pytest.raises(InputUnsupported) as caught:
        sent(given)
    assert (caught.value.detail, caught.value.data["unsupported"]) == (why, "messages")


def test_ids_that_providers_reject_or_that_come_twice_are_replaced() -> None:
    long = "fc_" + "x" * 61
    turn = (assistant(SaidCall(long, "clock", "{}")), user(result(long, "noon")))
    again = (assistant(*CALLS), user(result("c1", "one")), assistant(*CALLS), user(result("c1", "two")))
    found = messages(asks("Hi", *turn, *again))
    called = [call["id"] for message in found for call in message.get("tool_calls", ())]
    returned = [message["tool_call_id"] for message in found if message["role"] == "tool"]
    assert called == returned
    assert len(set(called)) == 3
    assert called[1] == "c1"
    assert max(map(len, called)) <= 40
    assert messages(asks("Hi", *turn, *again)) == found  # the same each time, for the provider's cache


def test_tool_choices_and_parallel_calls_are_sent_only_with_tools() -> None:
    options = CallOptions(tool="weather", parallel_calls=False)
    found = sent(asks("Hi", tools=(CLOCK,), options=options))
    assert found["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert found["parallel_tool_calls"] is False
    assert found["tools"] == [{"type": "function", "function": {"name": "clock"}}]
    assert sent(asks("Hi", tools=(CLOCK,), options=CallOptions(tool_choice="none")))["tool_choice"] == "none"
    assert set(sent(asks("Hi", options=options))) == {"messages"}


def test_long_names_of_tools_are_shortened() -> None:
    name = "mcp__" + "x" * 80
    given = asks("Hi", assistant(SaidCall("c1", name, "{}")), user(result("c1")), tools=(GivenTool(name),))
    found = sent(given)
    short = found["tools"][0]["function"]["name"]
    assert len(short) == 64
    assert found["messages"][1]["tool_calls"][0]["function"]["name"] == short


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        (
            OPENAI,
            with_options(max_tokens=9, temperature=0.5, top_p=0.9, stop=("x",)),
            {
                "max_completion_tokens": 9,
                "temperature": 0.5,
                "top_p": 0.9,
                "stop": ["x"],
            },
        ),
        (LOCAL, with_options(max_tokens=9), {"max_tokens": 9}),
        (LOCAL, with_options("anthropic", max_tokens=32_000), {}),
        (OPENAI, with_options("anthropic", max_tokens=32_000), {"max_completion_tokens": 32_000}),
        (
            OPENAI,
            with_options(schema=SCHEMA, schema_strict=True),
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
                },
            },
        ),
        (LOCAL, with_options(json=True), {"response_format": {"type": "json_object"}}),
        (LOCAL, with_options(effort="low"), {"reasoning_effort": "low"}),
        (at("openai", "https://api.openai.com/v1", "gpt-4o"), with_options(effort="low"), {}),
        (LOCAL, with_options("anthropic", effort="max"), {}),
        (OPENAI, with_options("anthropic", effort="max"), {"reasoning_effort": "high"}),
        (OPENAI, with_options("anthropic", thinking_tokens=8000), {"reasoning_effort": "medium"}),
        (OPENROUTER, with_options("anthropic", thinking_tokens=8000), {"reasoning": {"max_tokens": 8000}}),
        (OPENAI, with_options(more={"seed": 1, "store": True, "n": 1}), {"seed": 1, "store": True}),
        (LOCAL, with_options(more={"seed": 1, "store": True, "top_k": 2}), {"seed": 1, "top_k": 2}),
        (LOCAL, with_options("anthropic", more={"metadata": {}, "thinking": {"type": "adaptive"}}), {}),
    ],
)
def test_options_are_sent_as_the_provider_takes_them(
    target: Target, given: GivenConversation, expected: dict[str, Any]
) -> None:
    found = sent(given, target)
    del found["messages"]
    assert found == expected


@pytest.mark.parametrize(
    ("target", "given", "name"),
    [
        (LOCAL, with_options("anthropic", more={"top_k": 5}), "top_k"),
        (OPENAI, with_options(more={"top_k": 5}), "top_k"),
        (OPENAI, asks("Hi", tools=(GivenTool("s", raw={"type": "web_search"}),)), "tools"),
        (
            LOCAL,
            asks(
                "Hi",
                tools=(GivenTool("s", raw={"type": "web_search_20250305", "name": "s"}),),
                options=CallOptions("anthropic"),
            ),
            "tools",
        ),
    ],
)
def test_what_the_api_does_not_have_is_refused_by_name(
    target: Target, given: GivenConversation, name: str
) -> None:
    with pytest.raises(InputUnsupported) as caught:
        sent(given, target)
    assert caught.value.data["unsupported"] == name
    assert caught.value.data["hint"]


def test_tools_of_a_server_with_the_same_api_are_passed_on() -> None:
    raw = {"type": "builtin_function", "function": {"name": "$web_search"}}
    assert sent(asks("Hi", tools=(GivenTool("s", raw=raw),)), ELSEWHERE)["tools"] == [raw]


THOUGHT = SaidReasoning("hm", data={"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]})


def test_reasoning_goes_only_to_those_who_take_it() -> None:
    given = asks("Hi", assistant(THOUGHT, *CALLS), user(result("c1", "noon")))
    assert messages(given, OPENROUTER)[1]["reasoning_details"] == THOUGHT.data["reasoning_details"]
    assert messages(given, LOCAL)[1]["reasoning_content"] == "hm"
    for target in (OPENAI, ELSEWHERE):
        assert set(messages(given, target)[1]) == {"role", "content", "tool_calls"}


def test_marks_for_the_cache_reach_openrouter() -> None:
    given = asks(user(SaidText("Hi", cache="1h")), system=(SaidText("Be brief.", cache="5m"),))
    assert messages(given, OPENROUTER) == [
        {
            "role": "system",
            "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
    ]
    assert messages(given) == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
