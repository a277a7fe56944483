"""Answers with tool calls and reasoning, as both APIs and servers like them send them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Done, Output, Reasoned, Text, ToolUse
from rhetor.drivers.models.answer_reader import AnswerReader, Parser
from rhetor.drivers.models.given.anthropic_answer import Message
from rhetor.drivers.models.given.names import ToolNames
from rhetor.drivers.models.given.openai_answer import Completion
from rhetor.drivers.models.target import Target
from rhetor.errors import EmptyAnswer, ProviderCut, ProviderFailed, ToolCallRefused
from tests.rhetor.drivers.talk import joined

from .conversations import ANTHROPIC, LOCAL, OPENROUTER


def read(parser: Parser, target: Target, *pieces: bytes) -> tuple[list[Output], ProviderFailed | None]:
    reader = AnswerReader(target, parser)
    outputs = [output for piece in pieces for output in reader.feed(piece)]
    return joined([*outputs, *reader.end()]), reader.failure


def chat(
    *deltas: Any, finish: str | None = "tool_calls", target: Target = LOCAL, **more: Any
) -> list[Output]:
    """Return the outputs of a stream with these deltas; ids of calls are those of their order."""
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    if finish is not None:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    outputs, failure = read(Completion(target, ToolNames(more.get("names", ()))), target, body.encode())
    if failure is not None:
        raise failure
    return numbered(outputs)


def claude(*events: Any, stop: str = "tool_use") -> list[Output]:
    """Return the outputs of a stream with these events between its start and its end."""
    start = {"type": "message_start", "message": {"role": "assistant", "usage": {}}}
    end = {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {}}
    all_ = (start, *events, end, {"type": "message_stop"})
    body = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in all_)
    outputs, failure = read(Message(ANTHROPIC, ToolNames()), ANTHROPIC, body.encode())
    if failure is not None:
        raise failure
    return numbered(outputs)


def numbered(outputs: Sequence[Output]) -> list[Output]:
    """Return the outputs with the number of each call as its id, which must be one of our own."""
    found: list[Output] = []
    ids: set[str] = set()
    for output in outputs:
        if isinstance(output, ToolUse):
            assert output.call_id.startswith("call_")
            ids.add(output.call_id)
            output = replace(output, call_id=str(len(ids)))
        found.append(output)
    return found


def piece(index: int, arguments: str, name: str | None = None, id: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"tool_calls": [{"index": index, "function": function, **({"id": id} if id else {})}]}


def use(number: int, name: str, arguments: Any) -> ToolUse:
    return ToolUse(str(number), name, arguments, "caller")


def test_parallel_calls_in_pieces_that_alternate_are_whole_calls() -> None:
    deltas = (
        {"role": "assistant", "content": "I look."},
        piece(0, "", "weather", "call_0"),
        piece(1, "", "clock", "call_0"),
        piece(0, '{"city": "R'),
        piece(1, "{"),
        piece(0, 'ome"}'),
        piece(1, "}"),
    )
    assert chat(*deltas) == [
        Text("I look."),
        use(1, "weather", {"city": "Rome"}),
        use(2, "clock", {}),
        Done("tool_calls"),
    ]


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "function_call", None])
def test_an_answer_with_calls_and_no_text_is_not_empty_however_it_ends(finish: str | None) -> None:
    assert chat(piece(0, "", "clock"), finish=finish) == [use(1, "clock", {}), Done("tool_calls")]


def test_a_call_in_a_whole_completion_is_a_call() -> None:
    call = {"id": "1", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    whole = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "stop"}]}
    parser = Completion(LOCAL, ToolNames())
    outputs, failure = read(parser, LOCAL, json.dumps(whole).encode())
    assert failure is None
    assert numbered(outputs) == [use(1, "clock", {"zone": "UTC"}), Done("tool_calls")]


@pytest.mark.parametrize(
    "arguments", ['{"city": "Ro', "[1]", '"x"', '{"a":"\\ud800"}', '{"a":' * 200 + "1" + "}" * 200]
)
def test_arguments_that_are_no_valid_object_are_kept_as_text(arguments: str) -> None:
    assert chat(piece(0, arguments, "clock"), finish="length") == [use(1, "clock", arguments), Done("length")]


def test_a_finish_reason_of_tool_calls_without_calls_is_a_plain_stop() -> None:
    assert chat({"content": "Hi"}) == [Text("Hi"), Done("stop")]


def test_names_that_were_shortened_are_those_of_the_client_again() -> None:
    name = "x" * 80
    assert chat(piece(0, "{}", ToolNames().sent(name)), names=[name])[0] == use(1, name, {})


def test_an_answer_with_neither_text_nor_calls_is_empty() -> None:
    with pytest.raises(EmptyAnswer):
        chat({"content": ""}, finish="stop")
    with pytest.raises(EmptyAnswer):
        claude(stop="end_turn")


def test_a_call_without_a_name_and_a_cut_stream_are_failures() -> None:
    with pytest.raises(ProviderCut, match="a tool call has no name"):
        chat(piece(0, "{}"))
    outputs, failure = read(
        Completion(LOCAL, ToolNames()),
        LOCAL,
        f"data: {json.dumps({'choices': [{'delta': piece(0, '{', 'clock')}]})}\n\n".encode(),
    )
    assert (outputs, type(failure)) == ([], ProviderCut)


def test_too_many_calls_or_too_large_ones_are_refused() -> None:
    with pytest.raises(ToolCallRefused, match="more than 128 tool calls"):
        chat(*(piece(n, "{}", "clock", f"c{n}") for n in range(129)))
    with pytest.raises(ToolCallRefused, match="larger than 1048576 bytes"):
        chat(piece(0, "", "clock"), piece(0, "x" * (1 << 20)), piece(0, "x"))


def test_reasoning_details_of_openrouter_are_kept_whole() -> None:
    def thought(**more: Any) -> dict[str, Any]:
        return {
            "reasoning": more.get("text", ""),
            "reasoning_details": [{"type": "reasoning.text", "index": 0, **more}],
        }

    deltas = (thought(text="h"), thought(text="m"), thought(signature="c2ln"), piece(0, "{}", "clock"))
    kept = {"type": "reasoning.text", "index": 0, "text": "hm", "signature": "c2ln"}
    assert chat(*deltas, target=OPENROUTER) == [
        Text("hm", "reasoning"),
        Reasoned("openai", {"reasoning_details": [kept]}),
        use(1, "clock", {}),
        Done("tool_calls"),
    ]


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **value: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": value}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


THINKING = (
    start(0, type="thinking", thinking="", signature=""),
    delta(0, type="thinking_delta", thinking="h"),
    delta(0, type="thinking_delta", thinking="m"),
    delta(0, type="signature_delta", signature="c2"),
    delta(0, type="signature_delta", signature="ln"),
    stop(0),
)
THOUGHT = Reasoned("anthropic", {"type": "thinking", "thinking": "hm", "signature": "c2ln"})


def test_thinking_is_kept_with_its_signature_before_the_calls_that_follow_from_it() -> None:
    found = claude(
        *THINKING,
        start(1, type="redacted_thinking", data="eA=="),
        stop(1),
        start(2, type="text", text=""),
        delta(2, type="text_delta", text="I look."),
        stop(2),
        start(3, type="tool_use", id="toolu_1", name="weather", input={}),
        delta(3, type="input_json_delta", partial_json=""),
        delta(3, type="input_json_delta", partial_json='{"city":'),
        delta(3, type="input_json_delta", partial_json=' "Rome"}'),
        stop(3),
        start(4, type="tool_use", id="toolu_1", name="clock", input={}),
        stop(4),
    )
    assert found == [
        Text("hm", "reasoning"),
        THOUGHT,
        Reasoned("anthropic", {"type": "redacted_thinking", "data": "eA=="}),
        Text("I look."),
        use(1, "weather", {"city": "Rome"}),
        use(2, "clock", {}),
        Done("tool_calls"),
    ]


def test_thinking_that_is_not_shown_is_kept_too() -> None:
    hidden = (
        start(0, type="thinking", thinking="", signature=""),
        delta(0, type="signature_delta", signature="s"),
    )
    found = claude(*hidden, stop(0), start(1, type="tool_use", id="t", name="clock", input={"a": 1}), stop(1))
    assert found[:2] == [
        Reasoned("anthropic", {"type": "thinking", "thinking": "", "signature": "s"}),
        use(1, "clock", {"a": 1}),
    ]


def test_tools_that_the_provider_runs_are_kept_as_they_were() -> None:
    results = {
        "type": "web_search_tool_result",
        "tool_use_id": "srv_1",
        "content": [{"encrypted_content": "x"}],
    }
    found = claude(
        start(0, type="server_tool_use", id="srv_1", name="web_search", input={}),
        delta(0, type="input_json_delta", partial_json='{"query": "Rome"}'),
        stop(0),
        start(1, **results),
        stop(1),
        start(2, type="text", text="Found."),
        stop(2),
        stop="end_turn",
    )
    call = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "Rome"}}
    assert found[:3] == [Reasoned("anthropic", call), Reasoned("anthropic", results), Text("Found.")]
    assert found[-1] == Done("stop")


def test_a_paused_answer_says_so_because_the_client_continues_it() -> None:
    paused = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
    assert claude(start(1, **paused), stop(1), stop="pause_turn") == [
        Reasoned("anthropic", paused),
        Done("pause_turn"),
    ]


def test_a_block_that_the_server_does_not_end_is_kept() -> None:
    found = claude(
        start(0, type="tool_use", id="t", name="clock", input={}),
        delta(0, partial_json="{}", type="input_json_delta"),
    )
    assert found[0] == use(1, "clock", {})


def test_input_that_was_cut_off_at_the_limit_is_kept_as_text() -> None:
    cut = delta(0, type="input_json_delta", partial_json='{"ci')
    found = claude(start(0, type="tool_use", id="t", name="clock", input={}), cut, stop(0), stop="max_tokens")
    assert (found[0], found[-1]) == (use(1, "clock", '{"ci'), Done("length"))
