"""The output of a program: all of it on disk, in append-only segments of records which can be read from any
offset, and the last part of its stderr in memory.

Offsets count bytes of the output, not of files.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from rhetor.codec import host_frames as frames
from rhetor.codec.spool_cipher import REPLACED, SEAL_BYTES, SpoolCipher

from .masking import OutputMask
from .segment import Segment, write_whole

_READ_BYTES = frames.MAX_PIECE_BYTES + SEAL_BYTES + frames.RECORD_HEAD_BYTES

Piece = tuple[int, int, bytes]  # offset, time in ms, data


class Spool:
    """The spool of one program. `head` is the offset of its end; output before `acknowledged` may be deleted.

    The last `keep_bytes` of the output stay in any case, for a replay. Only whole segments are deleted. The
    `secrets` are masked before a piece is appended. If one began in earlier pieces, they are masked then.
    With a `cipher`, everything is sealed before it is written.
    """

    def __init__(
        self,
        folder: str,
        *,
        limit: int,
        keep_bytes: int,
        segment_bytes: int,
        secrets: Sequence[bytes] = (),
        cipher: SpoolCipher | None = None,
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._keep = keep_bytes
        self._segment_bytes = segment_bytes
        self.acknowledged = 0
        self._segments: list[Segment] = []
        self._fd = -1
        self._mask = OutputMask(secrets)
        self._cipher = cipher
        self._open()

    @property
    def head(self) -> int:
        return self._segments[-1].end

    @property
    def earliest(self) -> int:
        return self._segments[0].begin

    @property
    def full(self) -> bool:
        """Whether so much output is unacknowledged that the program must wait."""
        return self.head - self.acknowledged >= self._limit

    def append(self, at_ms: int, data: bytes) -> None:
        """Append a piece of at most 64 KiB.

        Raises:
            OSError: nothing was appended; the call may be repeated.
        """
        if self._mask:
            data, places = self._mask.find(self.head, data)
            for begin, end in places:
                self._blot(begin, end)
        if self._segments[-1].size >= self._segment_bytes:
            self._open()
        segment = self._segments[-1]
        rest = memoryview(segment.encode(segment.end, at_ms, data))
        size = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, segment.size)
            raise
        segment.added(size, len(data))
        self._mask.appended(data)

    def _blot(self, begin: int, end: int) -> None:
        """Replace output that is on the disk, from offset `begin` to `end`, with asterisks."""
        for segment in self._segments:
            if segment.begin >= end or segment.end <= begin:
                continue
            fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)  # our own descriptor only appends
            try:
                at = segment.place(begin)
                for after, offset, at_ms, piece in segment.pieces(os.pread(fd, segment.size - at, at)):
                    first, last = max(offset, begin) - offset, min(offset + len(piece), end) - offset
                    if first < last:
                        masked = piece[:first] + b"*" * (last - first) + piece[last:]
                        record = segment.encode(offset, at_ms, masked)
                        self._replace(fd, segment, at + after - len(record), record)
            finally:
                os.close(fd)

    def _replace(self, fd: int, segment: Segment, at: int, record: bytes) -> None:
        """Write a record in place of one of the same length. Of a sealed one, a part cannot be opened, so it
        is first written into a file that a reader uses if this process is killed meanwhile."""
        path = f"{self._folder}/{REPLACED}"
        if segment.cipher is not None:
            write_whole(path, frames.pack_replaced(segment.begin, at, record))
        os.pwrite(fd, record, at)
        if segment.cipher is not None:
            os.unlink(path)  # noqa: PTH108

    def seal(self, cipher: SpoolCipher) -> None:
        """Seal everything from now on. Call `seal_earlier` for the output so far. No effect if it is sealed.

        Raises:
            OSError: nothing was changed.
        """
        if self._cipher is not None:
            return
        self._cipher = cipher
        last = self._segments[-1]
        try:
            self._open()
        except OSError:
            self._cipher = None
            raise
        if not last.size:
            self._segments.remove(last)
            os.unlink(last.path)  # noqa: PTH108

    def seal_earlier(self) -> bool:
        """Seal one segment that is not sealed yet. Return whether there is another one. A reader that is in
        the segment finishes it.

        Raises:
            OSError: the segment is as before; the call may be repeated.
        """
        plain = [index for index, segment in enumerate(self._segments) if segment.cipher is None]
        if not plain or self._cipher is None:
            return False
        old = self._segments[plain[0]]
        self._segments[plain[0]] = old.sealed(self._folder, self._cipher)
        os.unlink(old.path)  # noqa: PTH108
        return len(plain) > 1

    def acknowledge(self, offset: int) -> None:
        """Allow output before `offset`, at most `head`, to be deleted. A smaller offset than before has no
        effect."""
        self.acknowledged = max(self.acknowledged, offset)
        gone = min(self.acknowledged, self.head - self._keep)
        while len(self._segments) > 1 and self._segments[0].end <= gone:
            os.unlink(self._segments.pop(0).path)  # noqa: PTH108 (pathlib costs memory)

    def segment(self, offset: int) -> Segment:
        """Return the segment with the byte at `offset`, or the earliest one if that byte was deleted."""
        index = bisect_right([segment.begin for segment in self._segments], offset) - 1
        return self._segments[max(index, 0)]

    def _open(self) -> None:
        begin = self._segments[-1].end if self._segments else 0
        segment = Segment(self._folder, begin, self._cipher)
        fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._segments.append(segment)


class SpoolReader:
    """Reads a spool from `offset` on. It skips output that was deleted before it could be read."""

    def __init__(self, spool: Spool, offset: int) -> None:
        self.offset = max(offset, spool.earliest)
        self._spool = spool
        self._segment: Segment | None = None
        self._fd = -1
        self._at = 0
        self._ready: deque[Piece] = deque()

    def next(self) -> Piece | None:
        """Return the next piece; None if there is none yet."""
        while not self._ready:
            if self.offset >= self._spool.head:
                return None
            self._fill()
        begin, at_ms, data = self._ready.popleft()
        data = data[self.offset - begin :]
        begin, self.offset = self.offset, self.offset + len(data)
        return begin, at_ms, data

    def _fill(self) -> None:
        if self._segment is None or self.offset >= self._segment.end:
            self._enter(self._spool.segment(self.offset))
        assert self._segment is not None
        data = os.pread(self._fd, _READ_BYTES, self._at)
        place = self._at
        for after, begin, at_ms, piece in self._segment.pieces(data):
            self._at = place + after
            if begin + len(piece) > self.offset:
                self._ready.append((begin, at_ms, piece))

    def _enter(self, segment: Segment) -> None:
        self.close()
        self.offset = max(self.offset, segment.begin)
        self._fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        self._segment = segment
        self._at = segment.place(self.offset)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class TailBuffer:
    """Keeps about the last `limit` bytes of a stream, in whole pieces. `total` counts all bytes, `lost` those
    dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[tuple[int, int, bytes]] = deque()  # offset, time in ms, data
        self.total = 0
        self.over = False

    @property
    def lost(self) -> int:
        return self._pieces[0][0] if self._pieces else self.total

    def append(self, at_ms: int, data: bytes) -> None:
        self._pieces.append((self.total, at_ms, data))
        self.total += len(data)
        while self.total - self.lost > self._limit and len(self._pieces) > 1:
            self._pieces.popleft()

    def after(self, offset: int) -> tuple[int, int, bytes] | None:
        """Return the first piece from `offset` on as (offset, time in ms, data); None if there is none."""
        for begin, at_ms, data in self._pieces:
            if begin + len(data) > offset:
                skip = max(offset - begin, 0)
                return begin + skip, at_ms, data[skip:]
        return None
