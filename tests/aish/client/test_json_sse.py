"""The shell's JSON and event stream parsers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.client.json_sse import MAX_FRAME_BYTES, Frames, decode, encode

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@given(values)
def test_json_is_encoded_and_decoded_like_by_the_standard_module(value: Any) -> None:
    assert json.loads(encode(value)) == value
    assert decode(encode(value)) == value
    assert decode(b" \n" + json.dumps(value, indent=1).encode() + b"\n") == value


@given(st.text(max_size=12) | st.text('{}[]",:0e\\ntfu ', max_size=12))
def test_text_that_the_standard_module_rejects_is_rejected(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            decode(text)
    else:
        assert decode(text) == expected or expected != expected


@pytest.mark.parametrize("data", [b"", b"{", b'{"a"}', b"[1] 2", b'"\xff"', b"[" * 100_000])
def test_invalid_json_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)


def test_argument_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert json.loads(encode("a\udcffb")) == "a�b"


STREAM = (
    b': heartbeat\n\nid: e:1\ndata: {"a": "\xc3\xa9"}\n\nevent: reset\ndata: two\ndata:lines\n\n'
    b"\r\n: x\r\ndata: crlf\r\n\r\nid: only\n\ndata: never ended\n"
)
DATA = [b'{"a": "\xc3\xa9"}', b"two\nlines", b"crlf"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_any_chunking_of_a_stream_gives_the_same_events(cuts: list[int]) -> None:
    frames = Frames()
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in itertools.pairwise(edges)]
    assert [data for piece in pieces for data in frames.feed(piece)] == DATA


def test_an_event_that_is_too_large_is_rejected() -> None:
    frames = Frames()
    with pytest.raises(ValueError, match="too large"):
        frames.feed(b"data: " + b"x" * MAX_FRAME_BYTES)
