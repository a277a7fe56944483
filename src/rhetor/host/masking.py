"""Finds known secrets in the output of a program, even if a secret was written in several pieces.

The secrets are replaced with as many asterisks, so that offsets stay valid.
"""

from __future__ import annotations

from collections.abc import Sequence

Place = tuple[int, int]  # offsets in the output: from, to


class OutputMask:
    """The secrets, and the end of the output so far, which may contain the beginning of one."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._kept = max(map(len, self._secrets), default=1) - 1
        self._tail = b""

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def find(self, head: int, data: bytes) -> tuple[bytes, list[Place]]:
        """Return the next piece, which begins at the offset `head`, without secrets, and the places in
        earlier output that belong to a secret too."""
        whole = bytearray(self._tail + data)
        begin = head - len(self._tail)
        places: list[Place] = []
        for secret in self._secrets:
            at = whole.find(secret)
            while at >= 0:
                end = at + len(secret)
                whole[at:end] = b"*" * len(secret)
                if at < len(self._tail):
                    places.append((begin + at, min(begin + end, head)))
                at = whole.find(secret, end)
        return bytes(whole[len(self._tail) :]), places

    def appended(self, data: bytes) -> None:
        """Note that the piece was appended to the output."""
        if self._kept:
            self._tail = (self._tail + data[-self._kept :])[-self._kept :]
