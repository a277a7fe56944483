"""What requests to the Responses API ask for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from rhetor.dialects.openai_responses import Before, ResponseAsked, asked, request_of, require_calls
from rhetor.dialects.openai_responses_input import items_of
from rhetor.dialects.openai_responses_items import references, sealed
from rhetor.dialects.openai_responses_tools import ToolName
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
from rhetor.errors import Malformed, Unprocessable

from .reading import fixture

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
WEATHER: Any = {"type": "function", "name": "weather", "description": "of a place", "parameters": {"a": 1}}
PATCH: Any = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
}
GROUP: Any = {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [WEATHER]}
HELLO = GivenMessage("user", (SaidText("hello"),))


def wanted(**more: Any) -> ResponseAsked:
    return asked(request_of(json.dumps({"model": "apollo", "input": "hello", **more}).encode()))


def test_a_text_is_the_message_of_the_user() -> None:
    found = wanted()
    assert (found.model, found.given) == ("apollo", GivenConversation((HELLO,)))
    assert (found.stream, found.store, found.background, found.encrypted) == (False, True, False, False)
    assert found.only_models == ()


def test_items_are_given_as_a_conversation_with_calls_results_parts_and_reasoning() -> None:
    kept = sealed("anthropic", {"type": "thinking", "signature": "abc"})
    items = [
        {"role": "system", "content": "Be short."},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look", "prompt_cache_breakpoint": {"mode": "explicit"}},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
                {"type": "input_file", "file_url": "https://a.example/b.pdf", "filename": "b.pdf"},
                {"type": "input_file", "file_data": "aGk=", "filename": "a.txt"},
                {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": kept,
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "I look", "annotations": [], "logprobs": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "weather",
            "arguments": "{}",
            "namespace": "agents",
        },
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_image", "image_url": PNG}],
        },
        {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": "and now?"},
    ]
    found = wanted(input=items, instructions="First this.", tools=[PATCH, GROUP])
    image = SaidPart(GivenPart("image", "image/png", data=b"\x89PNG\r\n\x1a\n"))
    assert found.given.system == (SaidText("First this."), SaidText("Be short."), SaidText("Be kind."))
    assert found.given.messages == (
        GivenMessage(
            "user",
            (
                SaidText("look", "5m"),
                image,
                SaidPart(GivenPart("file", name="b.pdf", url="https://a.example/b.pdf")),
                SaidPart(GivenPart("file", name="a.txt", data=b"hi")),
                SaidPart(GivenPart("audio", "audio/mpeg", data=b"ID3")),
            ),
        ),
        GivenMessage(
            "assistant",
            (
                SaidReasoning("hm", "anthropic", {"type": "thinking", "signature": "abc"}),
                SaidText("I look"),
                SaidCall("c1", "agents__weather", "{}"),
                SaidCall("c2", "apply_patch", '{"input":"*** Begin"}'),
            ),
        ),
        GivenMessage("user", (SaidResult("c1", (SaidText("sunny"),)), SaidResult("c2", (image,)))),
        GivenMessage("user", (SaidText("and now?"),)),
    )
    assert found.instructed


def test_reasoning_of_openai_itself_is_given_back_as_it_was() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    [said, _] = wanted(input=[item, {"role": "user", "content": "go on"}]).given.messages
    assert said == GivenMessage("assistant", (SaidReasoning("", "openai", item),))


@pytest.mark.parametrize("is_live", [False, True])  # as Codex sends it in a sandbox, and with full access
def test_tools_of_all_kinds_are_functions_for_the_model(is_live: bool) -> None:
    search = {"type": "web_search", "external_web_access": is_live}
    found = wanted(tools=[WEATHER, PATCH, GROUP, search], tool_choice="required", parallel_tool_calls=False)
    described = "Edits files.\n\nThe input must match this lark grammar:\nstart: /.+/"
    weather, patch, inner = found.given.tools
    assert weather == GivenTool("weather", "of a place", {"a": 1})
    assert (patch.name, patch.description, patch.parameters["required"]) == (
        "apply_patch",
        described,
        ["input"],
    )
    assert inner == GivenTool("agents__weather", "of a place", {"a": 1})
    assert found.names == {
        "apply_patch": ToolName("apply_patch", is_custom=True),
        "agents__weather": ToolName("weather", "agents"),
    }
    assert (found.given.options.tool_choice, found.given.options.parallel_calls) == ("required", False)
    assert found.shown["tools"] == [{**WEATHER, "strict": None}, PATCH, GROUP, search]


def test_the_names_of_tools_stay_short_enough_for_all_providers_and_differ() -> None:
    long = {**WEATHER, "name": "x" * 60}
    found = wanted(tools=[{**GROUP, "tools": [long, {**long, "name": "x" * 61}]}])
    assert all(len(tool.name) == 64 for tool in found.given.tools)
    assert {(each.namespace, each.name) for each in found.names.values()} == {
        ("agents", "x" * 60),
        ("agents", "x" * 61),
    }


@pytest.mark.parametrize(
    ("choice", "tools", "options"),
    [
        ("none", ["weather", "apply_patch"], CallOptions(tool_choice="none")),
        (
            {"type": "function", "name": "weather"},
            ["weather", "apply_patch"],
            CallOptions(tool_choice="required", tool="weather"),
        ),
        (
            {"type": "custom", "name": "apply_patch"},
            ["weather", "apply_patch"],
            CallOptions(tool_choice="required", tool="apply_patch"),
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            ["weather"],
            CallOptions(tool_choice="required"),
        ),
    ],
)
def test_the_choice_of_a_tool_is_honoured(choice: Any, tools: list[str], options: CallOptions) -> None:
    found = wanted(tools=[WEATHER, PATCH], tool_choice=choice).given
    assert ([tool.name for tool in found.tools], found.options) == (tools, options)


def test_options_are_given_and_those_that_only_a_model_honours_are_named() -> None:
    schema = {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True}
    found = wanted(
        max_output_tokens=100,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": schema, "verbosity": "low"},
    )
    assert found.given.options == CallOptions(
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        schema={"type": "object"},
        schema_name="answer",
        schema_strict=True,
        effort="high",
        more={"verbosity": "low"},
    )
    assert found.only_models == (
        *("max_output_tokens", "temperature", "top_p", "reasoning.effort", "text.verbosity"),
    )
    assert found.shown["text"] == {"format": {**schema, "description": None}, "verbosity": "low"}
    found = wanted(text={"format": {"type": "json_object"}, "verbosity": "medium"})
    assert (found.given.options, found.only_models) == (CallOptions(json=True), ("text.format",))


def test_everything_that_clients_send_without_effect_is_accepted() -> None:
    found = wanted(
        client_metadata={"session_id": "1"},
        image={"context_compression": "auto"},
        include=["reasoning.encrypted_content", "web_search_call.action.sources"],
        max_tool_calls=3,
        metadata={"a": "b"},
        prompt_cache_key="k",
        prompt_cache_options={"mode": "implicit"},
        prompt_cache_retention="24h",
        safety_identifier="u",
        service_tier="auto",
        stream=True,
        stream_options={"include_obfuscation": False},
        temperature=1,
        top_logprobs=0,
        truncation="auto",
        user="u",
        conversation=None,
        context_management=[],
        prompt=None,
    )
    assert (found.only_models, found.encrypted, found.stream) == ((), True, True)
    assert (found.shown["metadata"], found.shown["service_tier"]) == ({"a": "b"}, "default")


def test_what_codex_sends_is_accepted() -> None:
    found = asked(request_of(json.dumps(fixture("codex_responses")).encode()))
    assert [tool.name for tool in found.given.tools] == [
        "exec_command",
        "view_image",
        "multi_agent_v1__close_agent",
    ]
    assert [message.text for message in found.given.messages] == ["<environment_context>", "hello"]
    assert [text.text for text in found.given.system] == [
        "You are a coding agent",
        "<skills_instructions>",
        "<permissions>",
    ]
    assert (found.store, found.encrypted, found.only_models) == (False, True, ())


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"colour": 1}, "colour", "unknown_parameter"),
        ({"model": None}, "model", "invalid_value"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": [{"role": "assistant", "content": "hi"}]}, "input", "invalid_value"),
        ({"input": [{"type": "computer_call", "id": "1"}]}, "input[0].type", "unsupported_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
            "unsupported_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0]",
            "invalid_value",
        ),
        (
            {"input": [{"role": "system", "content": [{"type": "input_image", "image_url": PNG}]}]},
            "input[0].content[0]",
            "invalid_value",
        ),
        ({"input": [{"type": "item_reference", "id": "msg_1_0"}]}, "input[0]", "item_not_found"),
        (
            {"input": [{"type": "reasoning", "encrypted_content": "rhetor1.x"}]},
            "input[0].encrypted_content",
            "invalid_value",
        ),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type", "unsupported_parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [WEATHER, WEATHER]}, "tools", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "other"}}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "web_search"}, "tools": [WEATHER]}, "tool_choice.type", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "unsupported_value"),
        ({"generate": False}, "generate", "unsupported_value"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]", "unsupported_parameter"),
        ({"include": ["all"]}, "include[0]", "invalid_value"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm", "unsupported_value"),
        ({"conversation": "s_1", "previous_response_id": "resp_1"}, "conversation", "invalid_value"),
        (
            {"conversation": {"id": "s_1"}, "input": [{"role": "assistant", "content": "hi"}]},
            "input",
            "invalid_value",
        ),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "unsupported_value"),
        ({"background": True, "store": False}, "background", "invalid_value"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"truncation": "some"}, "truncation", "invalid_value"),
    ],
)
def test_what_cannot_be_honoured_is_an_error_that_names_the_parameter(
    more: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(Unprocessable) as caught:
        wanted(**more)
    assert (caught.value.data["param"], caught.value.data["reason"]) == (param, code)


def test_a_body_that_is_not_json_is_malformed() -> None:
    with pytest.raises(Malformed):
        request_of(b"{")


def test_the_previous_response_comes_before_the_input_and_references_are_replaced() -> None:
    called = GivenMessage("assistant", (SaidCall("c1", "weather", "{}"),))
    answer = GivenMessage("assistant", (SaidText("hi"),))
    items = [
        {"type": "item_reference", "id": "fc_1_0"},
        {"type": "function_call_output", "call_id": "c1", "output": ""},
    ]
    request = request_of(json.dumps({"model": "a", "input": items, "instructions": "new"}).encode())
    assert references(request.items) == ["fc_1_0"]
    before = Before((HELLO, answer, HELLO), (SaidText("old"),), {"fc_1_0": called})
    found = asked(request, before).given
    result = GivenMessage("user", (SaidResult("c1", (SaidText(""),)),))
    assert found.messages == (HELLO, answer, HELLO, called, result)
    assert found.system == (SaidText("new"), SaidText("old"))
    require_calls(found)
    with pytest.raises(Unprocessable, match="c1"):
        require_calls(GivenConversation((HELLO, answer, result)))


def test_a_conversation_is_shown_as_items_with_ids_that_stay_the_same() -> None:
    messages = (
        GivenMessage("user", (SaidText("look"), SaidPart(GivenPart("image", blob_id="b")))),
        GivenMessage(
            "assistant", (SaidReasoning("hm"), SaidText("I look"), SaidCall("c1", "patch", '{"input":"x"}'))
        ),
        GivenMessage("user", (SaidResult("c1", (SaidText("done"),)),)),
    )
    names = {"patch": ToolName("patch", is_custom=True)}
    found = list(items_of(messages, "7", names))
    assert found == list(items_of(messages, "7", names))
    assert [(each["id"], each["type"]) for each in found] == [
        ("msg_7_in0", "message"),
        ("rs_7_in1", "reasoning"),
        ("msg_7_in2", "message"),
        ("ctc_7_in3", "custom_tool_call"),
        ("out_7_in4", "custom_tool_call_output"),
    ]
    assert found[0]["content"][1] == {
        "type": "input_image",
        "detail": "auto",
        "file_id": None,
        "image_url": None,
    }
    assert (found[3]["input"], found[4]["output"]) == ("x", "done")
