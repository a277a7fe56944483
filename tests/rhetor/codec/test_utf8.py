"""UTF-8 in pieces: any chunking of the bytes gives the same items, and no byte is lost."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rhetor.codec.utf8 import Decoder, Invalid, joined
from tests.rhetor.codec.test_sse import cut

STREAMS = st.lists(
    st.one_of(
        st.binary(max_size=4), st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass"))
    ),
    max_size=20,
).map(b"".join)


def read(*chunks: bytes) -> list[str | Invalid]:
    decoder = Decoder()
    parts = [part for chunk in chunks for part in decoder.feed(chunk)]
    return joined([*parts, *decoder.finish()])


def written(parts: list[str | Invalid]) -> bytes:
    return b"".join(part.encode() if isinstance(part, str) else part.data for part in parts)


@given(STREAMS, st.lists(st.integers(0, 1 << 16), max_size=10))
@example("a€😀".encode(), [2, 5, 6, 7])
@example(b"\xe2\x82A\xf0\x9f\x98", [1, 2, 4, 5])
def test_any_chunking_gives_the_same_items_and_loses_nothing(stream: bytes, places: list[int]) -> None:
    whole = read(stream)
    assert read(*cut(stream, places)) == whole
    assert read(*(bytes((byte,)) for byte in stream)) == whole
    assert written(whole) == stream


@given(STREAMS)
def test_text_is_what_python_decodes(stream: bytes) -> None:
    text = "".join(part for part in read(stream) if isinstance(part, str))
    assert text == stream.decode("utf-8", "ignore")


@pytest.mark.parametrize(
    ("stream", "parts"),
    [
        (b"a\xff\xfeb", ["a", Invalid(b"\xff\xfe"), "b"]),
        (b"\xc0\x80", [Invalid(b"\xc0\x80")]),  # overlong
        (b"\xed\xa0\x80x", [Invalid(b"\xed\xa0\x80"), "x"]),  # a lone surrogate
        (b"\xf4\x90\x80\x80", [Invalid(b"\xf4\x90\x80\x80")]),  # beyond the last code point
        (b"\xe2\x82A", [Invalid(b"\xe2\x82"), "A"]),
        (b"x\xf0\x9f", ["x", Invalid(b"\xf0\x9f")]),  # truncated by the end
        (b"\xef\xbb\xbfa\0\r\nb\r", ["\ufeffa\0\r\nb\r"]),
    ],
)
def test_invalid_bytes_stay_at_their_place(stream: bytes, parts: list[str | Invalid]) -> None:
    assert read(stream) == parts


def test_an_incomplete_character_is_held_and_counted() -> None:
    decoder = Decoder()
    held = [(decoder.feed(bytes((byte,))), decoder.held) for byte in "😀".encode()]
    assert held == [([], 1), ([], 2), ([], 3), (["😀"], 0)]
