"""Finds the files in which coding agents record their conversations, and reads them in pieces. Never writes
them.

A `Transcript` decodes the lines. All functions block, so call them in a thread.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rhetor.codec.lines import Lines
from rhetor.domain.transcript import Excerpt, Passage, TranscriptFile
from rhetor.errors import TranscriptUnreadable

from .transcript import Transcript

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 4 << 20  # within which a transcript must identify its conversation
QUIET_SECONDS = 3600.0  # without a change, after which no more lines are expected
MAX_DEPTH = 5
MOST_FOUND = 100_000


class AgentTranscripts:
    """The transcripts of one kind of agent, as `base.Transcripts`.

    `folder` returns the agent's folder for an environment. `depth`: the number of levels below it that are
    searched. `transcript` creates the decoder of a file.
    """

    def __init__(
        self,
        folder: Callable[[Mapping[str, str]], Path],
        depth: int,
        transcript: Callable[[], Transcript],
    ) -> None:
        self._folder = folder
        self._depth = depth
        self._transcript = transcript

    def files(self, environment: Mapping[str, str]) -> Sequence[TranscriptFile]:
        return list(_below(self._folder(environment), self._depth))

    def at(self, path: str) -> Sequence[TranscriptFile]:
        try:
            if Path(path).is_dir():
                return list(_below(Path(path), MAX_DEPTH))
            with _opened(path) as file:
                return [_described(path, os.fstat(file.fileno()))]
        except (OSError, ValueError) as error:
            raise TranscriptUnreadable(path, _reason(error)) from error

    def recognises(self, path: str) -> bool:
        """As `base.Transcripts.recognises`."""
        transcript, lines = self._transcript(), Lines()
        try:
            with _opened(path) as file:
                for line in lines.feed(file.read(HEAD_BYTES)):
                    transcript.take(line, 0)
                    if transcript.conversation or transcript.is_foreign:
                        return True
        except (OSError, ValueError) as error:
            raise TranscriptUnreadable(path, _reason(error)) from error
        return False

    def read(self, path: str) -> Iterator[Excerpt]:
        try:
            with _opened(path) as file:
                yield from self._excerpts(file)
        except (OSError, ValueError) as error:
            raise TranscriptUnreadable(path, _reason(error)) from error

    def _excerpts(self, file: _File) -> Iterator[Excerpt]:
        transcript, lines, offset, malformed = self._transcript(), Lines(), 0, 0
        while chunk := file.read(CHUNK_BYTES):
            passages: list[Passage] = []
            for line in lines.feed(chunk):
                passages += transcript.take(line, offset)
                offset += (len(line) if isinstance(line, bytes) else line.bytes) + 1
            yield _excerpt(transcript, passages, transcript.malformed - malformed)
            malformed = transcript.malformed
        is_quiet = time.time() - os.fstat(file.fileno()).st_mtime > QUIET_SECONDS
        last = transcript.finish(is_quiet=is_quiet)
        yield _excerpt(transcript, last, 0, is_whole=not (transcript.is_open or lines.held))


class _File:
    """A regular file that belongs to this user. Others are rejected: reading a pipe could block, and reading
    a device could have effects."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(self._descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("not a regular file")
            if found.st_uid != os.geteuid():
                raise ValueError("the file belongs to another user")
        except BaseException:  # there is no object yet that could close it
            os.close(self._descriptor)
            raise

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def read(self, size: int) -> bytes:
        return os.read(self._descriptor, size)


def _opened(path: str) -> _File:
    return _File(path)


def claude_folder(environment: Mapping[str, str]) -> Path:
    home = environment.get("CLAUDE_CONFIG_DIR") or f"{_home(environment)}/.claude"
    return Path(home) / "projects"


def codex_folder(environment: Mapping[str, str]) -> Path:
    home = environment.get("CODEX_HOME") or f"{_home(environment)}/.codex"
    return Path(home) / "sessions"


def _home(environment: Mapping[str, str]) -> str:
    """Return the user's home folder; `~` if it is unknown, so that no transcripts are found."""
    return environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  # never raises


def _below(folder: Path, depth: int) -> Iterator[TranscriptFile]:
    """Yield the `.jsonl` files in the folder and up to `depth` levels below it, at most `MOST_FOUND`. Links
    are not followed, because they can lead out of the folder."""
    waiting, count = [(str(folder), 0)], 0
    while waiting:
        place, deep = waiting.pop()
        for entry in _entries(place):
            if entry.is_dir(follow_symlinks=False) and deep < depth:
                waiting.append((entry.path, deep + 1))
            elif entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False):
                count += 1
                if count > MOST_FOUND:
                    return
                yield _described(entry.path, entry.stat(follow_symlinks=False))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # the folder does not exist, was removed, or is not readable
        return []


def _described(path: str, found: os.stat_result) -> TranscriptFile:
    return TranscriptFile(path, found.st_size, found.st_mtime_ns // 1_000_000)


def _excerpt(
    transcript: Transcript, passages: Sequence[Passage], malformed: int, *, is_whole: bool = True
) -> Excerpt:
    return Excerpt(
        transcript.conversation,
        transcript.cwd,
        tuple(passages),
        malformed,
        transcript.is_foreign,
        is_whole,
    )


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
