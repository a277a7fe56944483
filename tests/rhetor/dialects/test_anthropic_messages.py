"""What requests of the Messages API ask for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from rhetor.dialects.anthropic_messages import OLD_VERSION, VERSION, asked, counted
from rhetor.domain.given import (
    CallOptions,
    GivenMessage,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.domain.parts import GivenPart
from rhetor.errors import Malformed, Unprocessable

HELLO: Any = {"role": "user", "content": "hello"}
MARK: Any = {"type": "ephemeral", "ttl": "1h"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
WEATHER: Any = {"name": "weather", "description": "the weather", "input_schema": {"type": "object"}}
THOUGHT: Any = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


def body(**more: Any) -> bytes:
    return json.dumps({"model": "apollo", "max_tokens": 9, "messages": [HELLO], **more}).encode()


def refusal(**more: Any) -> tuple[str, str]:
    with pytest.raises(Unprocessable) as caught:
        asked(body(**more))
    return caught.value.data["param"], caught.value.data["reason"]


def test_a_plain_request_is_a_conversation_of_one_message() -> None:
    found = asked(body())
    assert (found.model, found.stream, found.only_models) == ("apollo", False, ())
    assert found.given.messages == (GivenMessage("user", (SaidText("hello"),)),)
    assert found.given.options == CallOptions("anthropic", max_tokens=9)


def test_arguments_that_were_not_a_json_object_come_back_as_the_model_wrote_them() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"INVALID_JSON": '{"at":'}}
    messages = [HELLO, {"role": "assistant", "content": [call]}, HELLO]
    assert asked(body(messages=messages)).given.messages[1].blocks == (SaidCall("c1", "weather", '{"at":'),)


def test_a_conversation_with_tools_keeps_every_block() -> None:
    redacted = {"type": "redacted_thinking", "data": "x"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"at": "Oslo"}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "wet"}, image],
        "is_error": True,
        "cache_control": MARK,
    }
    said = [{"type": "text", "text": "I look."}, THOUGHT, redacted, call]
    messages = [HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}, HELLO]
    given = asked(body(messages=messages, tools=[WEATHER])).given
    png = SaidPart(GivenPart("image", "image/png", data=b"\x89PNG\r\n\x1a\n..."))
    assert given.messages == (
        GivenMessage("user", (SaidText("hello"),)),
        GivenMessage(
            "assistant",
            (
                SaidText("I look."),
                SaidReasoning("hm", "anthropic", THOUGHT),
                SaidReasoning("", "anthropic", redacted),
                SaidCall("toolu_1", "weather", '{"at":"Oslo"}'),
            ),
        ),
        GivenMessage(
            "user",
            (SaidResult("toolu_1", (SaidText("wet"), png), is_error=True, cache="1h"), SaidText("hello")),
        ),
    )
    assert given.tools == (GivenTool("weather", "the weather", {"type": "object"}),)


def test_system_texts_keep_their_order_and_their_cache_marks() -> None:
    system = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}]
    messages = [HELLO, {"role": "system", "content": "c"}]
    given = asked(body(system=system, messages=messages)).given
    assert given.system == (SaidText("a"), SaidText("b", "1h"), SaidText("c"))
    assert asked(body(system="short")).given.system == (SaidText("short"),)


def test_documents_are_parts_and_plain_texts_are_text() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF-").decode()}
    blocks = [
        {"type": "document", "source": pdf, "title": "Plan"},
        {"type": "document", "source": {"type": "text", "data": "notes"}, "context": "from June"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    ]
    given = asked(body(messages=[{"role": "user", "content": blocks}])).given
    assert given.messages[0].blocks == (
        SaidText("Plan"),
        SaidPart(GivenPart("file", "application/pdf", "Plan", data=b"%PDF-")),
        SaidText("from June"),
        SaidText("notes"),
        SaidPart(GivenPart("image", url="https://example.com/a.png")),
    )


def test_options_are_those_of_the_call_and_the_rest_is_for_the_vendors_own_models() -> None:
    found = asked(
        body(
            stream=True,
            temperature=0.5,
            stop_sequences=["END"],
            top_k=5,
            thinking={"type": "adaptive"},
            output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
            context_management={"edits": []},
            metadata={"user_id": "u"},
            tools=[WEATHER, {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
            tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        ),
        ["context-management-2025-06-27"],
    )
    assert found.stream
    assert found.only_models == ("temperature", "top_k", "stop_sequences", "output_config.format")
    options = found.given.options
    assert (options.tool_choice, options.tool, options.parallel_calls) == ("required", "weather", False)
    assert (options.effort, options.schema, options.stop) == ("high", {"type": "object"}, ("END",))
    assert options.more == {
        "top_k": 5,
        "context_management": {"edits": []},
        "metadata": {"user_id": "u"},
        "betas": ["context-management-2025-06-27"],
        "thinking": {"type": "adaptive"},
    }
    assert found.given.tools[1].raw == {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 2,
    }


@pytest.mark.parametrize(
    ("thinking", "tokens"), [({"type": "enabled", "budget_tokens": 2000}, 2000), ({"type": "disabled"}, 0)]
)
def test_thinking_is_a_number_of_tokens(thinking: Any, tokens: int) -> None:
    assert asked(body(thinking=thinking)).given.options.thinking_tokens == tokens


@pytest.mark.parametrize(
    ("more", "param", "reason"),
    [
        ({"max_tokens": None}, "max_tokens", "invalid_value"),
        ({"top_q": 1}, "top_q", "unknown_parameter"),
        ({"temperature": 2}, "temperature", "invalid_value"),
        ({"mcp_servers": [{}]}, "mcp_servers", "unsupported_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [HELLO, {"role": "assistant", "content": "He"}]}, "messages", "unsupported_parameter"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema", "missing_required_parameter"),
        ({"tool_choice": {"type": "any"}}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a\x1b[2J"}]}]},
            "messages[0].content[0].tool_use_id",
            "invalid_value",
        ),
    ],
)
def test_what_cannot_be_honoured_is_named(more: Any, param: str, reason: str) -> None:
    assert refusal(**more) == (param, reason)


def test_a_request_without_max_tokens_says_so() -> None:
    with pytest.raises(Unprocessable) as caught:
        asked(json.dumps({"model": "apollo", "messages": [HELLO]}).encode())
    assert caught.value.data["param"] == "max_tokens"
    with pytest.raises(Malformed):
        asked(b"{")


def test_tokens_can_be_counted_without_max_tokens() -> None:
    found = counted(json.dumps({"model": "apollo", "messages": [HELLO], "tools": [WEATHER]}).encode())
    assert found.given.tools[0].name == "weather"


def test_the_newest_version_of_the_api_has_no_sampling_parameters() -> None:
    assert asked(body(temperature=1), version=OLD_VERSION).only_models == ()
    with pytest.raises(Unprocessable, match="temperature"):
        asked(body(temperature=1), version=VERSION)
