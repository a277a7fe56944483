"""The frames between a host and its clients: any chunking gives the same frames, and buffers are bounded."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec import host_frames as frames
from rhetor.codec.host_frames import FrameBroken, FrameDecoder

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=12)
OFFSETS = st.integers(0, (1 << 64) - 1)


@given(FRAMES, st.lists(st.integers(0, 1 << 16), max_size=20))
def test_any_chunking_gives_the_same_frames(wanted: list[frames.Frame], places: list[int]) -> None:
    stream = b"".join(frames.frame(kind, body) for kind, body in wanted)
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    decoder = FrameDecoder()
    got = [frame for left, right in pairwise(edges) for frame in decoder.feed(stream[left:right])]
    assert got == wanted


@pytest.mark.parametrize("length", [0, frames.MAX_FRAME_BYTES + 1, 0xFFFFFFFF])
def test_an_invalid_length_is_rejected_at_once(length: int) -> None:
    with pytest.raises(FrameBroken):
        FrameDecoder().feed(length.to_bytes(4, "big"))


def test_the_longest_frame_passes_and_a_longer_one_is_rejected() -> None:
    body = b"x" * (frames.MAX_FRAME_BYTES - 1)
    assert FrameDecoder().feed(frames.frame(1, body)) == [(1, body)]
    with pytest.raises(FrameBroken):
        frames.frame(1, body + b"x")


@given(OFFSETS, OFFSETS, st.binary(max_size=50))
def test_packed_values_are_unpacked_unchanged(offset: int, at_ms: int, data: bytes) -> None:
    assert frames.unpack_offset(frames.pack_offset(offset)) == offset
    assert frames.unpack_chunk(frames.pack_chunk(offset, at_ms, data)) == (offset, at_ms, data)
    assert frames.unpack_write(frames.pack_write(frames.TEXT, data, last=True)) == (frames.TEXT, True, data)


@pytest.mark.parametrize(("code", "signal"), [(0, None), (255, None), (None, 9)])
def test_an_exit_has_a_code_or_a_signal(code: int | None, signal: int | None) -> None:
    assert frames.unpack_exited(frames.pack_exited(code, signal, 5, 6)) == (code, signal, 5, 6)


def test_a_body_of_the_wrong_size_is_invalid() -> None:
    for unpack in (frames.unpack_offset, frames.unpack_size, frames.unpack_number, frames.unpack_hello):
        with pytest.raises(FrameBroken):
            unpack(b"\0\0\0")


@given(st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=20)), max_size=8))
def test_fields_keep_their_order_and_duplicates(fields: frames.Fields) -> None:
    assert frames.unpack_fields(frames.pack_fields(fields)) == fields


def test_truncated_fields_are_invalid() -> None:
    whole = frames.pack_fields([("name", b"value")])
    for length in range(1, len(whole)):
        with pytest.raises(FrameBroken):
            frames.unpack_fields(whole[:length])


def test_an_incomplete_record_ends_the_records() -> None:
    whole = frames.record(0, 7, b"one") + frames.record(3, 8, b"three")
    both = [(23, 0, 7, b"one"), (48, 3, 8, b"three")]
    assert list(frames.records(whole)) == both
    for length in range(len(whole)):
        assert list(frames.records(whole[:length])) == both[: length // 23][:1]
    assert list(frames.records(whole, 23)) == both[1:]
