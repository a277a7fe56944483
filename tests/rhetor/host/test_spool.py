"""A spool gives every byte once, from any offset, and deletes only what was acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rhetor.host.spool import Spool, SpoolReader, TailBuffer


def spool_in(folder: Path, *, limit: int = 1 << 20, keep: int = 0, segment: int = 4096) -> Spool:
    return Spool(str(folder), limit=limit, keep_bytes=keep, segment_bytes=segment)


def rest(reader: SpoolReader) -> bytes:
    pieces = []
    while (piece := reader.next()) is not None:
        pieces.append(piece[2])
    return b"".join(pieces)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=20), st.integers(0, 1 << 16))
def test_a_reader_gets_what_was_written_from_any_offset(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], at: int
) -> None:
    spool = spool_in(tmp_path_factory.mktemp("spool"))
    whole = b"".join(pieces)
    at %= len(whole) + 1
    early = SpoolReader(spool, 0)
    got = b""
    for piece in pieces:
        spool.append(1, piece)
        got += rest(early)
    assert (got, rest(SpoolReader(spool, at))) == (whole, whole[at:])


def test_an_offset_deep_in_a_large_segment_is_found(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, limit=1 << 30, segment=1 << 30)
    for number in range(30_000):
        spool.append(1, b"%08d" % number)
    reader = SpoolReader(spool, 25_000 * 8 + 3)
    assert reader.next() == (25_000 * 8 + 3, 1, b"25000"[-5:])
    assert len(rest(reader)) == 4_999 * 8


def test_acknowledged_segments_are_deleted_except_the_last_bytes(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, keep=10_000)
    for _ in range(100):
        spool.append(1, b"x" * 1000)
    spool.acknowledge(spool.head)
    assert 10_000 <= spool.head - spool.earliest < 10_000 + 2 * 4096
    assert len(rest(SpoolReader(spool, 0))) == spool.head - spool.earliest
    assert len(list(tmp_path.iterdir())) < 6


def test_nothing_unacknowledged_is_deleted(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    for _ in range(100):
        spool.append(1, b"x" * 1000)
    spool.acknowledge(50_500)
    assert spool.earliest <= 50_500
    assert len(rest(SpoolReader(spool, 50_500))) == 49_500


def test_a_reader_of_a_deleted_segment_continues_at_the_earliest_offset(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    for _ in range(20):
        spool.append(1, b"x" * 1000)
    reader = SpoolReader(spool, 0)
    assert reader.next() is not None
    spool.acknowledge(spool.head)
    last = b""
    while (piece := reader.next()) is not None:
        last = piece[2]
    assert (reader.offset, last) == (spool.head, b"x" * 1000)


def test_a_spool_is_full_at_its_limit_until_an_acknowledgement(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, limit=3000)
    full = []
    for _ in range(3):
        spool.append(1, b"x" * 1000)
        full.append(spool.full)
    spool.acknowledge(1)
    assert (full, spool.full) == ([False, False, True], False)


def test_a_failed_append_leaves_nothing_behind(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    spool = spool_in(tmp_path)
    spool.append(1, b"first")
    own = spool._fd
    spool._fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match=r"No space|Invalid argument"):
        spool.append(1, b"lost")
    os.close(spool._fd)
    spool._fd = own
    spool.append(1, b"second")
    assert rest(SpoolReader(spool, 0)) == b"firstsecond"


def test_the_recent_buffer_keeps_the_last_bytes_and_counts_the_rest() -> None:
    recent = TailBuffer(100)
    for number in range(1000):
        recent.append(number, b"%04d" % number)
    assert (recent.total, recent.total - recent.lost) == (4000, 100)
    assert recent.after(3998) == (3998, 999, b"99")
    assert recent.after(0) == (3900, 975, b"0975")
    assert recent.after(4000) is None


SECRET = b"sk-CANARY-1234567890"


def whole(spool: Spool) -> bytes:
    reader, found = SpoolReader(spool, 0), b""
    while (piece := reader.next()) is not None:
        found += piece[2]
    reader.close()
    return found


def test_a_secret_is_in_no_segment_in_any_chunking(tmp_path: Path) -> None:
    output = b"key: " + SECRET + b" " + SECRET[:9] + b"; " + SECRET + b"\n"
    expected = output.replace(SECRET, b"*" * len(SECRET))
    for size in (1, 2, 7, len(SECRET), len(output)):
        folder = tmp_path / str(size)
        folder.mkdir()
        secrets = [SECRET, b"another-secret"]
        spool = Spool(str(folder), limit=1 << 20, keep_bytes=1 << 20, segment_bytes=64, secrets=secrets)
        for at in range(0, len(output), size):
            spool.append(0, output[at : at + size])
            assert SECRET not in whole(spool)
        assert whole(spool) == expected
        assert spool.head == len(output)
        assert not any(SECRET in file.read_bytes() for file in folder.iterdir())
