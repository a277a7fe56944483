"""The history of the shell's prompt while encryption is on: sealed lines in a file of the state folder.

Without encryption, the shell keeps it in a file of its own. The lines move when that is switched on or off.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from struct import Struct

from rhetor.errors import SealBroken
from rhetor.sealing.envelope import key_id_of
from rhetor.sealing.files import write_durably
from rhetor.sealing.ring import Ring

PLAIN, SEALED = "history", "history.sealed"
MAX_BYTES, KEPT_BYTES = 1 << 20, 1 << 19  # of the file, before and after it is shortened
_LENGTH = Struct(">I")
_ABOUT = b"prompt history"


class PromptHistory:
    """The lines, oldest first. `active`: whether they are kept here. Any thread may use it."""

    def __init__(self, folder: Path, ring: Ring, *, active: bool) -> None:
        self.active = active
        self._plain = folder / PLAIN
        self._path = folder / SEALED
        self._ring = ring
        self._lock = threading.Lock()

    def lines(self) -> list[str]:
        """Return all lines.

        Raises:
            SealBroken, KeysUnavailable: a line cannot be opened.
            OSError: the file cannot be read.
        """
        with self._lock:
            return [self._ring.open(sealed, _ABOUT).decode() for sealed in self._records()]

    def add(self, line: str) -> None:
        """Keep one more line.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            self._append([line])
            if self._path.stat().st_size > MAX_BYTES:
                self._shorten()

    def settle(self) -> None:
        """Move what the shell has kept in its own file here, or back if encryption was switched off. Seal the
        lines with the current key.

        Raises:
            SealBroken, KeysUnavailable: a line cannot be opened.
            OSError: a file cannot be read or written.
        """
        if not self.active:
            self._move_back()
            return
        with self._lock:
            self._append([])  # from now on, the shell asks the hub
            try:
                self._append(_entries(self._plain.read_text(encoding="utf-8", errors="replace")))
            except FileNotFoundError:
                pass
            self._plain.unlink(missing_ok=True)
            if any(key_id_of(sealed) != self._ring.current for sealed in self._records()):
                self._write([self._ring.open(sealed, _ABOUT) for sealed in self._records()])

    def _move_back(self) -> None:
        if self._path.exists():
            text = "".join(f"\n# kept by the hub\n{_lines(line)}" for line in self.lines())
            with open(self._plain, "a", encoding="utf-8", opener=_private) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self._path.unlink()

    def _append(self, lines: list[str]) -> None:
        data = b"".join(self._record(line.encode()) for line in lines)
        with open(self._path, "ab", buffering=0, opener=_private) as file:
            size = file.tell()
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                file.truncate(size)  # behind a part of a line, no other line could be read
                raise

    def _shorten(self) -> None:
        kept, size = list[bytes](), 0
        for sealed in reversed(self._records()):
            if (size := size + len(sealed)) > KEPT_BYTES:
                break
            kept.insert(0, self._ring.open(sealed, _ABOUT))
        self._write(kept)

    def _write(self, lines: list[bytes]) -> None:
        write_durably(self._path, b"".join(map(self._record, lines)))

    def _record(self, line: bytes) -> bytes:
        sealed = self._ring.seal(line, _ABOUT)
        return _LENGTH.pack(len(sealed)) + sealed

    def _records(self) -> list[bytes]:
        """Return the sealed lines. What was not written completely is left out."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        found, at = [], 0
        while at + _LENGTH.size <= len(data):
            (length,) = _LENGTH.unpack_from(data, at)
            begin, at = at + _LENGTH.size, at + _LENGTH.size + length
            if at > len(data):
                break
            found.append(data[begin:at])
        if found and not all(found):
            raise SealBroken(f"{self._path} is damaged; remove it")
        return found


def _entries(text: str) -> list[str]:
    """Return the entries of a file of prompt_toolkit: each line of an entry begins with a plus sign."""
    entries: list[list[str]] = []
    is_open = False
    for line in text.splitlines():
        if line.startswith("+"):
            if not is_open:
                entries.append([])
            entries[-1].append(line[1:])
        is_open = line.startswith("+")
    return ["\n".join(entry) for entry in entries]


def _lines(entry: str) -> str:
    return "".join(f"+{line}\n" for line in entry.split("\n"))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
