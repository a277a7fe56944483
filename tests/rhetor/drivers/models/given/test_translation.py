"""Whatever a client of OpenAI's API gives, each provider's API gets all of its text, calls and results."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rhetor.dialects.openai_chat import asked
from rhetor.drivers.models.given import anthropic_request, openai_request
from tests.scale import scaled

from .conversations import ANTHROPIC, LOCAL

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=12)
ARGUMENTS = st.dictionaries(
    WORDS, st.one_of(st.integers(-9, 9), WORDS, st.lists(WORDS, max_size=2)), max_size=3
)
Message = dict[str, Any]


@st.composite
def round_of_calls(draw: st.DrawFn, number: int) -> list[Message]:
    """An answer with calls, some text before it perhaps, and the results in any order."""
    calls = draw(st.lists(ARGUMENTS, min_size=1, max_size=3))
    ids = [f"call_{number}_{n}" for n in range(len(calls))]
    made = [
        {"id": id, "type": "function", "function": {"name": "tool", "arguments": json.dumps(each)}}
        for id, each in zip(ids, calls, strict=True)
    ]
    results = [
        {"role": "tool", "tool_call_id": id, "content": draw(WORDS)} for id in draw(st.permutations(ids))
    ]
    return [{"role": "assistant", "content": draw(st.none() | WORDS), "tool_calls": made}, *results]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """A conversation that OpenAI's API takes."""
    said: list[Message] = []
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(("user", "assistant", "system", "calls")))
        said += draw(round_of_calls(number)) if kind == "calls" else [{"role": kind, "content": draw(WORDS)}]
    return [*said, {"role": "user", "content": draw(WORDS)}]


def _texts(messages: list[Message]) -> list[str]:
    return [each["content"] for each in messages if each["role"] in ("user", "assistant") and each["content"]]


def _calls(messages: list[Message]) -> list[tuple[str, Any]]:
    calls = [call for each in messages for call in each.get("tool_calls", ())]
    return [(call["id"], json.loads(call["function"]["arguments"])) for call in calls]


def _results(messages: list[Message]) -> dict[str, str]:
    return {each["tool_call_id"]: each["content"] for each in messages if each["role"] == "tool"}


def _blocks(message: Message) -> list[Message]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


@settings(max_examples=scaled(500, 20), deadline=None)
@given(conversations())
def test_anthropic_gets_all_texts_calls_and_results_in_turn(messages: list[Message]) -> None:
    conversation = asked(json.dumps({"model": "apollo", "messages": messages}).encode()).given
    body = anthropic_request.body(ANTHROPIC, "", conversation, {})
    sent = body["messages"]
    assert [one["role"] for one in sent] == [("user", "assistant")[n % 2] for n in range(len(sent))]
    blocks = [block for each in sent for block in _blocks(each)]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    assert [text for text in texts if not text.startswith("[The beginning")] == _texts(messages)
    calls = [(block["id"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    assert calls == _calls(messages)
    results = [block for block in blocks if block["type"] == "tool_result"]
    assert {each["tool_use_id"]: each["content"][0]["text"] for each in results} == _results(messages)
    assert len(results) == len(calls)
    for before, after in pairwise([*sent, {"content": []}]):
        called = {block["id"] for block in _blocks(before) if block["type"] == "tool_use"}
        first = _blocks(after)[: len(called)]
        assert {block.get("tool_use_id") for block in first} == called
    system = body.get("system", "")
    shown = [system] if isinstance(system, str) else [block["text"] for block in system]
    assert [text for text in shown if text] == [m["content"] for m in messages if m["role"] == "system"]


@settings(max_examples=scaled(500, 20), deadline=None)
@given(conversations())
def test_openai_gets_all_texts_calls_and_results_again(messages: list[Message]) -> None:
    conversation = asked(json.dumps({"model": "apollo", "messages": messages}).encode()).given
    sent = openai_request.body(LOCAL, "", conversation, {})["messages"]
    # several messages of one side are one here
    assert "\n\n".join(_texts(sent)) == "\n\n".join(_texts(messages))
    assert (_calls(sent), _results(sent)) == (_calls(messages), _results(messages))
