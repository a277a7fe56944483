"""What requests to the Chat Completions API ask for, and how turns are shown there."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from rhetor.dialects.openai_chat import asked
from rhetor.domain.given import (
    CallOptions,
    GivenConversation,
    GivenMessage,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.domain.parts import GivenPart
from rhetor.errors import Malformed, TooManyValues, Unprocessable

HELLO: Any = [{"role": "user", "content": "hello"}]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(2 << 20)
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "of a place", "parameters": {"type": "object"}},
}


def encoded(**more: Any) -> bytes:
    return json.dumps({"model": "apollo", "messages": HELLO, **more}).encode()


def data_url(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def test_a_conversation_is_given_with_its_tools_results_parts_and_thoughts() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": 1}'}}
    messages = [
        {"role": "system", "content": "Be short."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": data_url(PNG, "image/png"), "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": data_url(b"%PDF-", "application/pdf")},
                },
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "I need it.",
            "tool_calls": [call, {**call, "id": "c2"}],
            "refusal": None,
            "annotations": [],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "sun"}]},
        {"role": "developer", "content": [{"type": "text", "text": "In English."}]},
        {"role": "user", "content": "and now?"},
    ]
    found = asked(
        encoded(
            messages=messages,
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            parallel_tool_calls=False,
            max_completion_tokens=100,
            temperature=0.5,
            stop="END",
            seed=7,
            frequency_penalty=0,
            reasoning_effort="low",
            stream=True,
            stream_options={"include_usage": True},
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "S", "schema": {"type": "object"}, "strict": True},
            },
        )
    )
    assert found.given == GivenConversation(
        (
            GivenMessage(
                "user",
                (
                    SaidText("look", "5m"),
                    SaidPart(GivenPart("image", "image/png", data=PNG)),
                    SaidPart(GivenPart("image", url="https://a.example/b.png")),
                    SaidPart(GivenPart("audio", "audio/mpeg", data=b"ID3")),
                    SaidPart(GivenPart("file", "application/pdf", "a.pdf", data=b"%PDF-")),
                ),
            ),
            GivenMessage(
                "assistant",
                (
                    SaidReasoning("I need it."),
                    SaidCall("c1", "weather", '{"at": 1}'),
                    SaidCall("c2", "weather", '{"at": 1}'),
                ),
            ),
            GivenMessage(
                "user",
                (
                    SaidResult("c1", (SaidText("rain"),)),
                    SaidResult("c2", (SaidText("sun"),)),
                    SaidText("and now?"),
                ),
            ),
        ),
        (SaidText("Be short."), SaidText("In English.")),
        (GivenTool("weather", "of a place", {"type": "object"}),),
        CallOptions(
            max_tokens=100,
            temperature=0.5,
            stop=("END",),
            tool_choice="required",
            tool="weather",
            parallel_calls=False,
            schema={"type": "object"},
            schema_name="S",
            schema_strict=True,
            effort="low",
            more={"seed": 7},
        ),
    )
    assert (found.model, found.stream, found.include_usage) == ("apollo", True, True)
    assert found.only_models == ("max_completion_tokens", "temperature", "stop", "reasoning_effort", "seed")


@pytest.mark.parametrize(
    ("wrong", "param", "reason"),
    [
        ({"n": 2}, "n", "unsupported_value"),
        ({"n": "1"}, "n", "unsupported_value"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"top_logprobs": 2}, "top_logprobs", "unsupported_value"),
        ({"functions": []}, "functions", "unsupported_parameter"),
        ({"function_call": "auto"}, "function_call", "unsupported_parameter"),
        ({"audio": {"voice": "alloy"}}, "audio", "unsupported_parameter"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
        ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
        ({"top_k": 5}, "top_k", "unknown_parameter"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"messages": None}, "messages", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "function", "content": ""}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "x"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "invalid_value"),
        ({"messages": [*HELLO, {"role": "tool", "content": "x", "tool_call_id": "a\x1b[2J"}]},
         "messages[1].tool_call_id", "invalid_value"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type", "invalid_value"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice",
         "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "invalid_value"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_honoured_is_named(wrong: dict[str, Any], param: str, reason: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        asked(encoded(**wrong))
    assert (caught.value.data["param"], caught.value.data["reason"]) == (param, reason)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "ftp://a"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,x"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,=x"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "https://a/" + "x" * 4096}}, "image_url.url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id"),
        ({"type": "file", "file": {}}, "file.file_data"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(part: dict[str, Any], param: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        asked(encoded(messages=[{"role": "user", "content": [part]}]))
    assert caught.value.data["param"] == f"messages[0].content[0].{param}"


def test_what_is_sent_with_the_default_of_the_vendor_is_no_wish() -> None:
    neutral = {
        "temperature": 1,
        "top_p": 1.0,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "logit_bias": {},
    }
    ignored = {
        "n": 1,
        "logprobs": False,
        "top_logprobs": 0,
        "modalities": ["text"],
        "stop": None,
        "user": "u",
    }
    kept = {"store": True, "metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "auto"}
    found = asked(encoded(**neutral, **ignored, **kept, safety_identifier="s"))
    assert (found.only_models, found.given.options.more) == ((), {})


def test_only_the_allowed_tools_are_given() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "other"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    given = asked(encoded(tools=[WEATHER, other], tool_choice=choice)).given
    assert (given.tools, given.options.tool_choice) == ((GivenTool("other"),), "required")


def test_a_body_that_is_not_json_or_has_too_many_values_is_rejected() -> None:
    with pytest.raises(Malformed):
        asked(b'{"model":')
    with pytest.raises(Malformed):
        asked(b'{"model": "\xff"}')
    tool = {
        "type": "function",
        "function": {"name": "x", "parameters": {"enum": [[] for _ in range(110_000)]}},
    }
    with pytest.raises(TooManyValues):
        asked(encoded(tools=[tool]))
    brackets = asked(encoded(messages=[{"role": "user", "content": "[" * 200_000}]))
    assert len(brackets.given.messages[0].text) == 200_000
