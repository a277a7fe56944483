"""Server-sent events: any chunking of the bytes gives the same events."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rhetor.codec.sse import ServerSentEvent, SSEDecoder
from rhetor.errors import TooLarge

# pieces of streams, so that random text is full of field names and line ends
_PIECES = st.sampled_from(
    [
        b"data",
        b"event",
        b"id",
        b"retry",
        b":",
        b" ",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"x",
        b"\xef\xbb\xbf",
        b"\xff",
    ]
)
STREAMS = st.lists(_PIECES, max_size=60).map(b"".join)
WORDS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)
EVENTS = st.builds(
    ServerSentEvent,
    name=WORDS.filter(bool),
    data=st.lists(WORDS.map(str.encode), min_size=1, max_size=3).map(b"\n".join),
    id=WORDS,
)


def read(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def write(event: ServerSentEvent, end: bytes) -> bytes:
    lines = [b"event: " + event.name.encode(), b"id: " + event.id.encode()]
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return end.join(lines) + end + end


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[left:right] for left, right in pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 1 << 16), max_size=10))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [8, 9, 10])
def test_any_chunking_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    whole = read(stream)
    assert read(*cut(stream, places)) == whole
    assert read(*(bytes((byte,)) for byte in stream)) == whole


@given(st.lists(EVENTS, max_size=5), st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_written_events_are_read_back(events: list[ServerSentEvent], end: bytes) -> None:
    assert read(b"".join(write(event, end) for event in events)) == events


def test_fields_are_parsed_according_to_the_standard() -> None:
    stream = (
        b"\xef\xbb\xbf: a comment\n"
        b"data:no space\ndata:  two\ndata\n\n"
        b"event: named\nid: 7\nretry: 10\nunknown: x\n\n"  # no data: no event, but the id stays
        b"data: last\nid: with\0nul\n\n"
        b"data: never ended"
    )
    assert read(stream) == [
        ServerSentEvent("message", b"no space\n two\n", ""),
        ServerSentEvent("message", b"last", "7"),
    ]


def test_comments_count_as_lines() -> None:
    decoder = SSEDecoder()
    decoder.feed(b": processing\n\n: proc")
    assert decoder.lines == 2


@pytest.mark.parametrize(
    "chunks",
    [[b"data: " + b"x" * 101 + b"\n"], [b"data: ", *[b"x" * 10] * 11], [b"data: 12345678\n"] * 20],
    ids=["one line", "a line in pieces", "many lines"],
)
def test_an_event_that_is_too_large_is_rejected(chunks: list[bytes]) -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    with pytest.raises(TooLarge):
        for chunk in chunks:
            decoder.feed(chunk)


def test_the_limit_applies_to_one_event_and_not_to_the_stream() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    for _ in range(50):
        assert decoder.feed(b"data: " + b"x" * 80 + b"\r\n\r") == [ServerSentEvent("message", b"x" * 80)]
        assert decoder.feed(b"\n") == []
