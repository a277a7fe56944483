"""Files sealed with a passphrase: of any length, in the format of age, and no change goes unnoticed."""

from __future__ import annotations

import base64
import io
import os
import sys

import pytest

from rhetor.sealing.age import (
    PIECE,
    TAG,
    NotOpened,
    OpenedReader,
    SealedWriter,
    WrongPassphrase,
    is_sealed_file,
)

WORDS = "correct horse"
# made by age 1.1.1: printf 'made by age' | age -p
MADE_BY_AGE = (
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCAraFNsSHFaUXByN0tHazRnb21Db0F3IDE4Cm1Ja2lFazFjNTFSWUQwa0xYR3JmTVo2dWd5"
    "eFZzbHd0Q1BMV2YyQ1dRQ2cKLS0tIG5vM2Z1UTJGTXhad3pDWUdvc2ZVTjJ5MUZzZmo5RFJ1WmRNdFQyT09SWTgKudIgRATdjVVaNBuWRlzBxMoc"
    "CUaqRLQgK8lc/VhpeLf3mJguhe8YwVP+Dg=="
)


def sealed(data: bytes, step: int = 1 << 20, work: int = 1) -> bytes:
    file = io.BytesIO()
    with SealedWriter(file, WORDS, work) as writer:
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
    return file.getvalue()


def opened(data: bytes, passphrase: str = WORDS) -> bytes:
    return OpenedReader(io.BytesIO(data), passphrase).read()


@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7])
def test_any_length_is_read_as_it_was_written(length: int) -> None:
    data = os.urandom(length)
    assert opened(sealed(data, 7777)) == opened(sealed(data)) == data
    reader, found = OpenedReader(io.BytesIO(sealed(data)), WORDS), b""
    while piece := reader.read(1000):
        found += piece
    assert found == data


@pytest.mark.long
def test_a_file_that_age_has_made_is_read() -> None:
    assert opened(base64.b64decode(MADE_BY_AGE)) == b"made by age"


def test_a_wrong_passphrase_is_named_as_such() -> None:
    with pytest.raises(WrongPassphrase):
        opened(sealed(b"text"), "other")


def test_a_file_that_was_cut_anywhere_is_an_error() -> None:
    data = sealed(os.urandom(2 * PIECE))
    begin = len(data) - 2 * (PIECE + TAG)
    cuts = [*range(0, begin, 9), begin - 1, begin, begin + 1, begin + PIECE + TAG, len(data) - 1]
    for cut in cuts:
        with pytest.raises(NotOpened):
            opened(data[:cut])
    with pytest.raises(NotOpened, match="cut"):
        opened(data[: begin + PIECE + TAG])


def test_a_change_anywhere_is_an_error() -> None:
    data = sealed(b"x" * 100)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(NotOpened):
            opened(changed)
    with pytest.raises(NotOpened):
        opened(data + b"more")


def test_pieces_cannot_change_places_or_be_repeated() -> None:
    data = sealed(os.urandom(3 * PIECE))
    begin, size = len(data) - 3 * (PIECE + TAG), PIECE + TAG
    head, pieces = data[:begin], [data[begin + n * size : begin + (n + 1) * size] for n in range(3)]
    for order in ((1, 0, 2), (0, 0, 1, 2), (0, 2), (0, 1, 2, 2)):
        with pytest.raises(NotOpened):
            opened(head + b"".join(pieces[n] for n in order))


def test_a_work_factor_that_takes_all_memory_is_rejected() -> None:
    data = sealed(b"x").replace(b" 1\n", b" 23\n", 1)
    with pytest.raises(NotOpened, match="work factor"):
        opened(data)


def test_an_abandoned_file_is_not_complete() -> None:
    file = io.BytesIO()
    writer = SealedWriter(file, WORDS, 1)
    writer.write(b"x" * 3 * PIECE)
    writer.abandon()
    with pytest.raises(NotOpened):
        opened(file.getvalue())


def test_a_sealed_file_is_recognized() -> None:
    file = io.BytesIO(sealed(b""))
    assert is_sealed_file(file) and file.tell() == 0
    assert not is_sealed_file(io.BytesIO(b"age"))


def test_writing_and_reading_takes_constant_memory() -> None:
    file = io.BytesIO()
    with SealedWriter(file, WORDS, 1) as writer:
        for _ in range(100):
            writer.write(bytes(PIECE))
            assert sys.getsizeof(writer._held) < 4 * PIECE
    reader = OpenedReader(io.BytesIO(file.getvalue()), WORDS)
    while reader.read(PIECE):
        assert len(reader._held) + len(reader._next) <= 2 * (PIECE + TAG)
