"""A sealed spool has nothing of the output in its files, and gives every byte once, from any offset."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rhetor.codec import host_frames as frames
from rhetor.codec.spool_cipher import REPLACED, SEAL_BYTES, RecordBroken, SpoolCipher, pieces
from rhetor.host.spool import Spool, SpoolReader

KEY = bytes(range(32))
CANARY = b"canary-of-a-spool"


def spool_in(
    folder: Path, *, segment: int = 4096, secrets: tuple[bytes, ...] = (), sealed: bool = True
) -> Spool:
    cipher = SpoolCipher(KEY) if sealed else None
    return Spool(
        str(folder), limit=1 << 30, keep_bytes=0, segment_bytes=segment, secrets=secrets, cipher=cipher
    )


def rest(reader: SpoolReader) -> bytes:
    found = []
    while (piece := reader.next()) is not None:
        found.append(piece[2])
    reader.close()
    return b"".join(found)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=20), st.integers(0, 1 << 16))
def test_a_reader_gets_what_was_written_from_any_offset(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes], at: int
) -> None:
    spool = spool_in(tmp_path_factory.mktemp("spool"))
    whole = b"".join(written)
    at %= len(whole) + 1
    early = SpoolReader(spool, 0)
    got = b""
    for piece in written:
        spool.append(1, piece)
        while (read := early.next()) is not None:
            got += read[2]
    assert (got, rest(SpoolReader(spool, at))) == (whole, whole[at:])


def test_the_largest_piece_fits_and_no_file_has_the_output(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    largest = (CANARY * frames.MAX_PIECE_BYTES)[: frames.MAX_PIECE_BYTES]
    spool.append(1, largest)
    spool.append(2, CANARY)
    assert rest(SpoolReader(spool, 0)) == largest + CANARY
    assert rest(SpoolReader(spool, len(largest) + 3)) == CANARY[3:]
    assert CANARY not in on_disk(tmp_path)


def test_a_secret_over_several_pieces_is_masked_in_place(tmp_path: Path) -> None:
    secret = b"sk-CANARY-1234567890"
    output = b"key: " + secret + b" " + secret[:9] + b"; " + secret + b"\n"
    for size in (1, 2, 7, len(secret), len(output)):
        folder = tmp_path / str(size)
        folder.mkdir()
        spool = spool_in(folder, segment=64, secrets=(secret, b"another-secret"))
        for at in range(0, len(output), size):
            spool.append(0, output[at : at + size])
        assert rest(SpoolReader(spool, 0)) == output.replace(secret, b"*" * len(secret))
        assert not (folder / REPLACED).exists()


def test_a_spool_that_began_plain_is_sealed_while_readers_are_in_it(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, sealed=False)
    whole = b""

    def write() -> None:
        nonlocal whole
        piece = b"%d:" % len(whole) + CANARY * 40
        spool.append(1, piece)
        whole += piece

    for _ in range(20):
        write()
    reader = SpoolReader(spool, 0)
    begun = reader.next()
    assert begun is not None and CANARY in on_disk(tmp_path)
    spool.seal(SpoolCipher(KEY))
    while spool.seal_earlier():
        write()
    spool.seal(SpoolCipher(KEY))  # again: no effect
    write()
    assert begun[2] + rest(reader) == rest(SpoolReader(spool, 0)) == whole
    assert rest(SpoolReader(spool, 5)) == whole[5:]
    assert CANARY not in on_disk(tmp_path)


def test_an_empty_spool_can_be_sealed(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, sealed=False)
    reader = SpoolReader(spool, 0)
    spool.seal(SpoolCipher(KEY))
    assert not spool.seal_earlier()
    spool.append(1, CANARY)
    assert rest(reader) == CANARY
    assert CANARY not in on_disk(tmp_path)


def test_a_record_that_was_cut_ends_the_output_and_one_that_was_changed_or_moved_is_an_error(
    tmp_path: Path,
) -> None:
    spool = spool_in(tmp_path, segment=1 << 20)
    spool.append(1, b"first")
    spool.append(1, b"other")
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    cipher = SpoolCipher(KEY)
    size = len(data) // 2

    def read(data: bytes) -> list[bytes]:
        return [piece for *_, piece in pieces(data, cipher)]

    assert size == frames.RECORD_HEAD_BYTES + SEAL_BYTES + 5
    for cut in range(size, len(data)):
        assert read(data[:cut]) == [b"first"]
    assert read(data + bytes(4096)) == [b"first", b"other"]
    head = frames.RECORD_HEAD_BYTES
    swapped = data[:head] + data[size + head :] + data[size : size + head] + data[head:size]
    changed = data[:-1] + bytes([data[-1] ^ 1])
    later = data[: head - 1] + bytes([data[head - 1] ^ 1]) + data[head:]  # another time
    for broken in (swapped, changed, later):
        with pytest.raises(RecordBroken):
            read(broken)
    with pytest.raises(RecordBroken):
        list(pieces(data, SpoolCipher(os.urandom(32))))
