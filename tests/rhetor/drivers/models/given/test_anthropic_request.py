"""Given conversations as requests of the Messages API."""

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
from rhetor.drivers.models.anthropic_messages import MAX_TOKENS
from rhetor.drivers.models.given.anthropic_options import headers
from rhetor.drivers.models.given.anthropic_request import body, counted
from rhetor.drivers.models.target import Target
from rhetor.errors import InputUnsupported

from .conversations import (
    ANTHROPIC,
    ANTHROPIC_LIKE,
    CLOCK,
    LOOP,
    PDF,
    PNG,
    SCHEMA,
    WEATHER,
    asks,
    assistant,
    at,
    image,
    result,
    user,
    with_options,
)

CALLS = (SaidCall("c1", "clock", "{}"),)
EPHEMERAL = {"type": "ephemeral"}
SIGNED = SaidReasoning("hm", "anthropic", {"type": "thinking", "thinking": "hm", "signature": "c2ln"})
REDACTED = SaidReasoning("", "anthropic", {"type": "redacted_thinking", "data": "eA=="})


def sent(
    given: GivenConversation, target: Target = ANTHROPIC, prompt: str = "", **contents: bytes
) -> dict[str, Any]:
    found = body(target, prompt, given, contents)
    assert (found.pop("model"), found.pop("stream")) == (target.model, True)
    return found


def messages(given: GivenConversation, target: Target = ANTHROPIC, **contents: bytes) -> Any:
    return sent(given, target, "", **contents)["messages"]


def test_a_conversation_with_calls_and_results_is_sent_as_it_was_given() -> None:
    assert sent(LOOP, prompt="You are Apollo.") == {
        "max_tokens": MAX_TOKENS,
        "system": [{"type": "text", "text": "You are Apollo."}, {"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "What is the weather in Rome and Oslo?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
                    {"type": "tool_use", "id": "c2", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "sunny"}],
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "c2",
                        "content": [{"type": "text", "text": "no city"}],
                        "is_error": True,
                    },
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        "tools": [{"name": "weather", "description": "The weather now", "input_schema": SCHEMA}],
    }


def test_blank_text_is_left_out_and_a_first_answer_follows_a_mark() -> None:
    given = asks(assistant("Yes?"), user(" ", "Hi"), assistant("", *CALLS), user("", result("c1")))
    assert messages(given) == [
        {"role": "user", "content": "[The beginning of the conversation is not included.]"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "clock", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]},
    ]
    with pytest.raises(InputUnsupported, match="does not take a conversation without text"):
        sent(asks(" "))


def test_marks_for_the_cache_stay_where_they_are() -> None:
    given = asks(
        user(SaidText("Hi", cache="5m")),
        assistant(SaidCall("c1", "clock", "{}", cache="1h")),
        user(result("c1", "noon", cache="5m"), SaidPart(image().part, cache="5m")),
        system=(SaidText("Be brief.", cache="5m"),),
        tools=(GivenTool("clock", cache="5m"),),
    )
    found = sent(given, b_1=PNG)
    hour = {"type": "ephemeral", "ttl": "1h"}
    assert found["system"] == [{"type": "text", "text": "Be brief.", "cache_control": EPHEMERAL}]
    assert found["tools"][0]["cache_control"] == EPHEMERAL
    blocks = [block for message in found["messages"] for block in message["content"]]
    assert [block["cache_control"] for block in blocks] == [EPHEMERAL, hour, EPHEMERAL, EPHEMERAL]


def test_only_anthropic_gets_the_line_about_its_billing() -> None:
    billing = SaidText("x-anthropic-billing-header: cc_version=2; cch=1a2b3;")
    given = asks("Hi", system=(billing, SaidText("Be brief.")))
    assert [block["text"] for block in sent(given)["system"]] == [billing.text, "Be brief."]
    assert sent(given, ANTHROPIC_LIKE)["system"] == "Be brief."


def test_images_documents_and_text_files_are_blocks_also_in_results() -> None:
    shown = result("c1")
    shown = type(shown)("c1", (SaidText("here"), image()))
    files = (
        SaidPart(GivenPart("file", "application/pdf", "a.pdf", blob_id="b_2")),
        SaidPart(GivenPart("file", "text/plain", "a.txt", data=b"hello")),
    )
    found = messages(asks("Hi", assistant(*CALLS), user(shown, *files)), b_1=PNG, b_2=PDF)[2]["content"]
    png = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgpB"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjc="}
    text = {"type": "text", "media_type": "text/plain", "data": "hello"}
    assert found == [
        {
            "type": "tool_result",
            "tool_use_id": "c1",
            "content": [{"type": "text", "text": "here"}, {"type": "image", "source": png}],
        },
        {"type": "document", "source": pdf, "title": "a.pdf"},
        {"type": "document", "source": text, "title": "a.txt"},
    ]


def test_reasoning_of_the_vendor_is_sent_back_unchanged_and_that_of_others_left_out() -> None:
    other = SaidReasoning("hm", "openai", {"id": "rs_1"})
    unsigned = SaidReasoning("hm", "anthropic", {"type": "thinking", "thinking": "hm", "signature": ""})
    given = asks("Hi", assistant(other, unsigned, SIGNED, REDACTED, *CALLS), user(result("c1")))
    call = {"type": "tool_use", "id": "c1", "name": "clock", "input": {}}
    assert messages(given)[1]["content"] == [SIGNED.data, REDACTED.data, call]
    # servers with the same API do not all sign it
    assert messages(given, ANTHROPIC_LIKE)[1]["content"] == [unsigned.data, SIGNED.data, REDACTED.data, call]


def test_an_answer_of_reasoning_alone_disappears_and_the_sides_still_take_turns() -> None:
    given = asks("Hi", assistant(SaidReasoning("hm", "openai", {"id": "rs_1"})), "there")
    text = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
    assert messages(given) == [{"role": "user", "content": text}]


@pytest.mark.parametrize("reasoned", [True, False])
def test_thinking_is_left_out_if_the_calls_just_before_were_made_without_it(reasoned: bool) -> None:
    said = (SIGNED, *CALLS) if reasoned else CALLS
    options = CallOptions("anthropic", max_tokens=9000, thinking_tokens=2000)
    found = sent(asks("Hi", assistant(*said), user(result("c1")), options=options))
    assert ("thinking" in found) is reasoned


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        (CallOptions(), None),
        (CallOptions(tool_choice="required"), {"type": "any"}),
        (CallOptions(tool_choice="none", parallel_calls=False), {"type": "none"}),
        (CallOptions(tool="clock"), {"type": "tool", "name": "clock"}),
        (CallOptions(parallel_calls=False), {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_tool_choices_are_those_of_the_api(options: CallOptions, choice: Any) -> None:
    found = sent(asks("Hi", tools=(CLOCK,), options=options))
    assert found.get("tool_choice") == choice
    assert found["tools"] == [{"name": "clock", "input_schema": {"type": "object", "properties": {}}}]


def test_strict_tools_and_tools_of_the_provider_are_passed_on_to_it() -> None:
    raw = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    tools = (GivenTool("web_search", raw=raw), GivenTool("clock", strict=True))
    found = sent(asks("Hi", tools=tools, options=CallOptions("anthropic")))["tools"]
    assert found[0] == raw
    assert found[1]["strict"] is True
    assert "strict" not in sent(asks("Hi", tools=tools[1:]))["tools"][0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            with_options(max_tokens=9, stop=("x",), temperature=0.5, top_p=0.5),
            {
                "max_tokens": 9,
                "stop_sequences": ["x"],
                "temperature": 0.5,
                "top_p": 0.5,
            },
        ),
        (
            with_options(temperature=1, top_p=1, more={"n": 1, "user": "u", "seed": None}),
            {"max_tokens": MAX_TOKENS},
        ),
        (
            with_options("anthropic", temperature=1, more={"top_k": 5, "betas": ["b"]}),
            {
                "max_tokens": MAX_TOKENS,
                "temperature": 1,
                "top_k": 5,
            },
        ),
        (
            with_options("anthropic", thinking_tokens=20_000),
            {
                "max_tokens": 20_000 + MAX_TOKENS,
                "thinking": {"type": "enabled", "budget_tokens": 20_000},
            },
        ),
        (
            with_options("anthropic", thinking_tokens=0),
            {
                "max_tokens": MAX_TOKENS,
                "thinking": {"type": "disabled"},
            },
        ),
        (
            with_options("anthropic", schema=SCHEMA, effort="max", more={"output_config": {"x": 1}}),
            {
                "max_tokens": MAX_TOKENS,
                "output_config": {
                    "x": 1,
                    "effort": "max",
                    "format": {"type": "json_schema", "schema": SCHEMA},
                },
            },
        ),
        (with_options(effort="minimal"), {"max_tokens": MAX_TOKENS, "output_config": {"effort": "low"}}),
    ],
)
def test_options_are_sent_as_the_api_takes_them(given: GivenConversation, expected: dict[str, Any]) -> None:
    found = sent(given)
    del found["messages"]
    assert found == expected


NEW, OLD = at("anthropic", "https://x", "claude-sonnet-5-5"), at("anthropic", "https://x", "claude-haiku-4-5")
BUDGET, NONE = CallOptions("anthropic", thinking_tokens=2000), CallOptions("anthropic", thinking_tokens=0)
ADAPTIVE = CallOptions("anthropic", more={"thinking": {"type": "adaptive"}})


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        (NEW, BUDGET, {"thinking": {"type": "adaptive"}}),
        (NEW, ADAPTIVE, {"thinking": {"type": "adaptive"}}),
        (NEW, NONE, {"thinking": {"type": "disabled"}}),
        (at("anthropic", "https://x", "claude-opus-5-5"), NONE, {}),
        (OLD, ADAPTIVE, {}),
        (OLD, CallOptions("anthropic", effort="high"), {}),
        (OLD, CallOptions(effort="high"), {}),
        (
            at("anthropic", "https://x", "claude-opus-4-5"),
            CallOptions(effort="xhigh"),
            {"output_config": {"effort": "high"}},
        ),
        (NEW, CallOptions("anthropic", temperature=1, top_p=1), {}),
        (at("anthropic", "https://x", "m"), ADAPTIVE, {"thinking": {"type": "adaptive"}}),
    ],
)
def test_wishes_about_thinking_are_those_that_the_model_takes(
    target: Target, options: CallOptions, expected: dict[str, Any]
) -> None:
    found = sent(asks("Hi", options=options), target)
    assert found.pop("max_tokens") >= MAX_TOKENS
    del found["messages"]
    assert found == expected


@pytest.mark.parametrize(
    "options", [CallOptions(temperature=0.5), CallOptions("anthropic", more={"top_k": 5})]
)
def test_models_that_choose_words_themselves_refuse_to_be_told_how(options: CallOptions) -> None:
    with pytest.raises(InputUnsupported) as caught:
        sent(asks("Hi", options=options), NEW)
    assert caught.value.data["param"] in ("temperature", "top_k")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (with_options(more={"seed": 1}), "seed"),
        (with_options(more={"logit_bias": {"1": 2}}), "logit_bias"),
        (with_options(temperature=1.5), "temperature"),
        (with_options(stop=("\n",)), "stop"),
        (with_options(json=True), "response_format"),
        (with_options("anthropic", max_tokens=100, thinking_tokens=2000), "thinking"),
        (asks("Hi", tools=(GivenTool("s", raw={"type": "web_search"}), WEATHER)), "tools"),
        (asks("Hi", assistant(*CALLS), "And?"), "messages"),
    ],
)
def test_what_the_api_does_not_have_is_refused_by_name(given: GivenConversation, name: str) -> None:
    with pytest.raises(InputUnsupported) as caught:
        sent(given)
    assert caught.value.data["unsupported"] == name


def test_arguments_that_are_no_object_are_sent_as_text_within_one() -> None:
    given = asks("Hi", assistant(SaidCall("c1", "clock", '{"a":')), user(result("c1")))
    assert messages(given)[1]["content"][0]["input"] == {"INVALID_JSON": '{"a":'}


def test_betas_are_a_header_and_a_count_has_only_what_counts() -> None:
    given = with_options(
        "anthropic", temperature=0.5, more={"betas": ["a", "b"], "metadata": {"user_id": "u"}}
    )
    assert headers(given.options) == {"anthropic-beta": "a,b"}
    assert headers(with_options().options) is None
    assert counted(body(ANTHROPIC, "P", given, {})) == {
        "model": ANTHROPIC.model,
        "system": "P",
        "messages": [{"role": "user", "content": "Hi"}],
    }
