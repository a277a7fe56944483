"""One file of a spool: a run of records, plain or sealed, and an index of them in memory."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator

from rhetor.codec import host_frames as frames
from rhetor.codec.spool_cipher import PLAIN, SEALED, SpoolCipher, pieces

_INDEX_BYTES = 1 << 18  # of the file between two entries of the index


class Segment:
    """The output from the offset `begin` to `end`, in a file of `size` bytes. `cipher`: of its records; None
    if they are plain."""

    __slots__ = ("begin", "cipher", "end", "path", "places", "size")

    def __init__(self, folder: str, begin: int, cipher: SpoolCipher | None) -> None:
        self.path = f"{folder}/{PLAIN if cipher is None else SEALED}.{begin:020d}"
        self.begin = self.end = begin
        self.cipher = cipher
        self.size = 0
        self.places: list[tuple[int, int]] = [(begin, 0)]  # the index: offset, position in the file

    def place(self, offset: int) -> int:
        """Return the position in the file at which to begin the search for `offset`."""
        index = bisect_right(self.places, (offset, 1 << 62)) - 1
        return self.places[max(index, 0)][1]

    def encode(self, offset: int, at_ms: int, data: bytes) -> bytes:
        """Return a record for this file."""
        if self.cipher is not None:
            data = self.cipher.seal(offset, at_ms, data)
        return frames.record(offset, at_ms, data)

    def pieces(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield the complete records in a part of the file: where the next one begins, offset, time, data."""
        return pieces(data, self.cipher)

    def added(self, size: int, length: int) -> None:
        """Note that a record of `size` bytes, with `length` bytes of output, was appended to the file."""
        if self.size - self.places[-1][1] >= _INDEX_BYTES:
            self.places.append((self.end, self.size))
        self.size += size
        self.end += length

    def sealed(self, folder: str, cipher: SpoolCipher) -> Segment:
        """Return a segment with the same output, sealed. Its file is complete and on the disk.

        Raises:
            OSError: there is no such file then.
        """
        new = Segment(folder, self.begin, cipher)
        records = []
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for _, offset, at_ms, piece in self.pieces(os.pread(fd, self.size, 0)):
                records.append(new.encode(offset, at_ms, piece))
                new.added(len(records[-1]), len(piece))
        finally:
            os.close(fd)
        write_whole(new.path, b"".join(records), durable=True)
        return new


def write_whole(path: str, data: bytes, *, durable: bool = False) -> None:
    """Write a file that either has all of `data` or does not exist. `durable`: also after a power failure."""
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:  # a disk that is nearly full takes only a part
            left = left[os.write(fd, left) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(f"{path}.new", path)  # noqa: PTH104
