"""Answers in every known form: the right text or a typed error, however the bytes are split."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.output import Done, Output, Text, Usage
from rhetor.drivers.models.answer_reader import AnswerReader
from rhetor.drivers.models.anthropic_messages import Message
from rhetor.drivers.models.openai_chat import Completion
from rhetor.drivers.models.target import Provider, Target
from rhetor.errors import ProviderCut, ProviderFailed
from tests.rhetor.codec.test_sse import cut
from tests.rhetor.drivers.models.stream_corpus import (
    API,
    DONE,
    END,
    STOP,
    Variant,
    an,
    chunk,
    corpus,
    ended,
    ev,
    raw,
)
from tests.rhetor.drivers.models.stream_corpus import text as words_of
from tests.rhetor.drivers.talk import apollo_says

CORPUS = list(corpus())
ALL = pytest.mark.parametrize("variant", CORPUS, ids=lambda variant: variant.name)
Outcome = tuple[list[tuple[str, str]], list[Output], tuple[type[ProviderFailed], str] | None]


def read(api: API, *pieces: bytes) -> Outcome:
    """Return the text by channel, the other outputs and the error of a body that arrives in these pieces."""
    target = Target(Provider("p", api, "https://api.example/v1"), "m")
    reader = AnswerReader(target, Completion(target) if api == "openai" else Message(target))
    outputs: list[Output] = []
    for piece in pieces:
        if reader.over or reader.failure:
            break
        outputs += reader.feed(piece)
    if not reader.failure:
        outputs += reader.end()
    said = [(output.channel, output.text) for output in outputs if isinstance(output, Text)]
    runs = groupby(said, lambda each: each[0])
    texts = [(str(channel), "".join(text for _, text in run)) for channel, run in runs]
    others: list[Output] = [output for output in outputs if not isinstance(output, Text)]
    failure = reader.failure
    return texts, others, (type(failure), failure.detail) if failure else None


def joined(texts: list[tuple[str, str]], channel: str) -> str:
    return "".join(text for each, text in texts if each == channel)


def test_the_corpus_is_large_enough_and_its_names_are_unique() -> None:
    assert len({variant.name for variant in CORPUS}) == len(CORPUS) >= 60


@ALL
def test_each_variant_gives_its_text_or_its_typed_error(variant: Variant) -> None:
    texts, others, failure = read(variant.api, variant.body)
    assert (joined(texts, "answer"), joined(texts, "reasoning")) == (variant.text, variant.reasoning)
    if variant.error is not None:
        assert failure is not None, others
        assert failure[0] is variant.error
        assert variant.words in failure[1]
        assert "m at api.example" in failure[1]
        return
    usage = [(u.input_tokens, u.output_tokens) for u in others if isinstance(u, Usage)]
    assert (failure, others[-1]) == (None, Done(variant.finish))
    assert variant.tokens is None or usage[-1:] == [variant.tokens]


@ALL
def test_each_variant_gives_the_same_result_byte_by_byte(variant: Variant) -> None:
    assert read(variant.api, *(bytes((byte,)) for byte in variant.body)) == read(variant.api, variant.body)


def test_pieces_of_text_that_arrive_together_are_passed_on_together() -> None:
    target = Target(Provider("p", "openai", "https://api.example/v1"), "m")
    reader = AnswerReader(target, Completion(target))
    thought = chunk({"reasoning_content": "so"})
    pieces = [chunk({"content": each}) for each in "abc"]
    assert reader.feed(thought + thought + pieces[0] + pieces[1]) == [Text("soso", "reasoning"), Text("ab")]
    assert reader.feed(pieces[2]) == [Text("c")]


_EXACT = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": None}
_NONE = {"logprobs": None, "finish_reason": None}
_COUNTS = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "tool_calls"])
@pytest.mark.parametrize("usage", [None, _COUNTS, {**_COUNTS, **_DETAILS}, {**_COUNTS, "total_tokens": -1}])
def test_a_stream_as_the_api_describes_it_is_read_like_one_with_additions(
    finish: str, usage: dict[str, Any] | None
) -> None:
    def events(**more: object) -> bytes:
        said = {"role": "assistant", "content": "", "refusal": None}
        choices = [
            [{"index": 0, "delta": said, **_NONE}],
            [{"index": 1, "delta": {"content": "another answer"}, **_NONE}],
            [{"index": 0, "delta": {"content": "yes"}, **_NONE}],
            [{"index": 1, "delta": {}, **_NONE, "finish_reason": "length"}],
            [{"index": 0, "delta": {}, **_NONE, "finish_reason": finish}],
        ]
        chunks = [{**_EXACT, "choices": each, **more} for each in choices]
        if usage is not None:
            chunks.append({**_EXACT, "choices": [], "usage": usage, **more})
        return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in chunks) + DONE

    texts, others, failure = read("openai", events())
    assert (texts, others[-1], failure) == ([("answer", "yes")], Done(finish), None)
    assert (texts, others, failure) == read("openai", events(provider="a relay"))


# variants that the HTTP layer handles differently
OVER_HTTP = {
    "openai: as documented",
    "openai: no [DONE]",
    "openai: CR",
    "openai: events after [DONE]",
    "openai: [DONE] without a line end",
    "openai: a character in two chunks of bytes",
    "openai: a whole completion",
    "openai: emptied by a filter",
    "openai: an error in mid-stream",
    "openai: a web page",
    "openai: an empty body",
    "anthropic: [DONE] after the end",
    "anthropic: a whole message",
    "anthropic: a refusal",
}


@pytest.mark.anyio
@pytest.mark.parametrize("variant", [v for v in CORPUS if v.name in OVER_HTTP], ids=lambda v: v.name)
async def test_variants_give_the_same_result_over_http(variant: Variant) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        kind = b"application/json" if variant.json else b"text/event-stream"
        size = len(variant.body)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (kind, size))
        writer.write(variant.body)
        await writer.drain()
        await reader.read()  # the connection stays open until the client leaves
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        environment = {
            "openai": {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "k"},
            "anthropic": {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "k"},
        }[variant.api]
        outputs, failure = await apollo_says({**environment, "RHETOR_MODEL": "m"})
    words = "".join(o.text for o in outputs if isinstance(o, Text) and o.channel == "answer")
    assert words == variant.text
    if variant.error is None:
        assert (outputs[-1], failure) == (Done(variant.finish), None)
    else:
        assert type(failure) is variant.error
        assert failure.data["hint"]


BODIES = st.one_of(
    st.sampled_from([(v.api, v.body) for v in CORPUS]),
    st.tuples(
        st.sampled_from([v.api for v in (CORPUS[0], CORPUS[-1])]),
        st.lists(
            st.sampled_from([event + b"\n\n" for v in CORPUS for event in v.body.split(b"\n\n") if event]),
            max_size=8,
        ).map(b"".join),
    ),
)


@given(BODIES, st.lists(st.integers(0, 1 << 16), max_size=10))
def test_any_chunking_of_any_events_gives_the_same_result(body: tuple[API, bytes], places: list[int]) -> None:
    """Also of events of both APIs in one stream: each outcome is outputs and at most one typed error."""
    api, data = body
    whole = read(api, data)
    assert read(api, *cut(data, places)) == whole
    _, others, failure = whole
    assert (failure is None) == (bool(others) and isinstance(others[-1], Done))


@given(BODIES, st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=4)), max_size=4))
def test_damaged_bytes_give_an_answer_or_a_typed_error(
    body: tuple[API, bytes], damage: list[tuple[int, bytes]]
) -> None:
    api, data = body
    for place, bytes_ in damage:
        at = place % (len(data) + 1)
        data = data[:at] + bytes_ + data[at + 1 :]
    _, others, failure = read(api, data)
    assert (failure is None) == (bool(others) and isinstance(others[-1], Done))


NAMES = (
    "choices delta message content text type index usage error detail code function name arguments "
    "tool_calls finish_reason prompt_tokens content_block stop_reason input_tokens input id"
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["openai", "anthropic"]), st.lists(ODD, max_size=4), st.sampled_from(["", "error", "x"])
)
def test_values_of_any_type_give_an_answer_or_a_typed_error(api: API, odd: list[object], name: str) -> None:
    body = b"".join(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode() for value in odd)
    _, others, failure = read(api, body + b"data: [DONE]\n\n")
    assert (failure is None) == (bool(others) and isinstance(others[-1], Done))


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=1)


@given(WORDS, st.sampled_from(["utf-8", "escaped"]), st.lists(st.integers(0, 1 << 16), max_size=10))
def test_a_text_cut_within_its_characters_is_joined(words: list[str], how: str, places: list[int]) -> None:
    """Whether a server cuts its text between the bytes of a character, or between its two escapes."""
    text = "x" + "".join(words).replace("\x85", "")
    if how == "utf-8":
        pieces = [json_string(piece) for piece in cut(text.encode(), places)]
    else:
        units = text.encode("utf-16-be", "surrogatepass")
        escapes = [b"\\u%04x" % int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2)]
        pieces = [b'"%b"' % b"".join(run) for run in split(escapes, places)]
    body = b"".join(b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % piece for piece in pieces)
    texts, _, failure = read("openai", body + b"data: [DONE]\n\n")
    assert (joined(texts, "answer"), failure) == (text, None)


def json_string(piece: bytes) -> bytes:
    """Return the bytes as a JSON string with only the necessary escapes."""
    odd = [(b"\\", b"\\\\"), (b'"', b'\\"'), *((bytes((c,)), b"\\u%04x" % c) for c in range(32))]
    for char, escape in odd:
        piece = piece.replace(char, escape)
    return b'"' + piece + b'"'


def split(items: list[bytes], places: list[int]) -> list[list[bytes]]:
    edges = sorted({0, len(items), *(place % (len(items) + 1) for place in places)})
    return [items[left:right] for left, right in pairwise(edges)]


PLAIN = st.text(st.characters(exclude_categories=["C"]), max_size=6).map("x".__add__)
SHAPES: list[tuple[API, Callable[[str], bytes], bytes]] = [
    ("openai", lambda text: chunk({"content": text}), END),
    ("openai", lambda text: chunk({"content": [{"type": "text", "text": text}]}), STOP),
    ("openai", lambda text: raw({"message": {"content": text}}), DONE),
    ("openai", lambda text: raw({"text": text}), END),
    ("openai", lambda text: ev({"message": {"content": text}, "done": False})[6:-1], b'{"done":true}\n'),
    ("openai", lambda text: chunk({"content": text})[6:-1], STOP[6:-1]),
    ("anthropic", words_of, ended("end_turn")),
    ("anthropic", lambda text: an("content_block_start", content_block={"text": text}), ended("end_turn")),
    ("anthropic", lambda text: ev({"type": "content_block_delta", "delta": {"text": text}}), DONE),
    ("anthropic", lambda text: words_of(text).partition(b"data: ")[2][:-1], b'{"type":"message_stop"}\n'),
]
FAILURES: list[Any] = [
    {"error": {"message": "boom"}},
    {"error": "boom"},
    {"errors": ["boom"]},
    {"type": "error", "message": "boom"},
    {"object": "error", "message": "boom"},
    {"detail": "boom"},
    {"msg": "boom", "code": 1},
    {"code": 500},
    {"status": 503, "title": "boom"},
    {"success": False},
    {"fault": {"faultstring": "boom"}},
    {"validationException": {"message": "boom"}},
    {"type": "response.failed", "response": {"error": {"message": "boom"}}},
    {"choices": [{"error": {"message": "boom"}}]},
    {"choices": [{"delta": {"error": "boom"}}]},
    {"choices": [], "x_groq": {"error": "boom"}},
    [{"error": {"message": "boom"}}],
    "boom",
]


@given(
    st.sampled_from(SHAPES),
    st.lists(PLAIN, min_size=1, max_size=6),
    st.sampled_from(FAILURES),
    st.integers(0, 6),
    st.lists(st.integers(0, 1 << 16), max_size=6),
)
def test_a_failure_anywhere_in_a_stream_of_any_shape_is_a_typed_error(
    shape: tuple[API, Callable[[str], bytes], bytes],
    texts: list[str],
    failure: Any,
    place: int,
    cuts: list[int],
) -> None:
    api, event, end = shape
    events = [event(text) for text in texts]
    is_lines = not events[0].startswith((b"data:", b"event:"))
    at = min(place, len(events))
    events.insert(at, ev(failure)[6:-1] if is_lines else ev(failure))
    said, _, error = read(api, *cut(b"".join(events) + end, cuts))
    assert error is not None
    # lines are one whole body, from which there is no text before its error
    assert joined(said, "answer") == "".join(texts[:at]) or (is_lines and not said)


@given(st.sampled_from(SHAPES), st.lists(PLAIN, min_size=1, max_size=6), st.data())
def test_a_stream_of_any_shape_is_whole_or_a_typed_error_wherever_it_is_cut(
    shape: tuple[API, Callable[[str], bytes], bytes], texts: list[str], data: st.DataObject
) -> None:
    api, event, end = shape
    body = b"".join(map(event, texts)) + end
    said, others, error = read(api, body)
    assert (joined(said, "answer"), error, others[-1]) == ("".join(texts), None, Done("stop"))
    between = [len(b"".join(map(event, texts[:count]))) for count in range(len(texts) + 1)]
    size = data.draw(st.sampled_from(between) | st.integers(0, len(body) - 1))
    said, _, error = read(api, body[:size])
    assert error is not None or joined(said, "answer") == "".join(texts)


@pytest.mark.anyio
async def test_an_answer_without_done_ends_even_if_the_connection_stays_open() -> None:
    async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + CORPUS[2].body)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(linger, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        outputs, failure = await apollo_says({"OPENAI_BASE_URL": url, "RHETOR_MODEL": "m"})
    assert (outputs[-1], failure) == (Done("stop"), None)


def test_a_truncated_body_never_gives_a_complete_answer() -> None:
    body = CORPUS[0].body
    for size in range(len(body)):
        texts, _, failure = read("openai", body[:size])
        assert failure is None or failure[0] is ProviderCut
        assert failure is not None or joined(texts, "answer") == "alpha beta"
