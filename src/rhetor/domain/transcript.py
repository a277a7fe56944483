"""The parts of a conversation that a coding agent has stored itself, for the import."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .output import Plain

Ending = Literal["completed", "failed", "interrupted"]


class Passage(Struct, frozen=True, gc=False):
    """A message and its answer.

    `id`: unique in the conversation, and the same whenever the file is read. `at`, `until`: Unix time in
    milliseconds. `detail`: why there is no complete answer.
    """

    id: str
    at: int
    until: int
    content: str
    outputs: tuple[Plain, ...]
    ending: Ending = "completed"
    detail: str = ""
    model: str | None = None


class TranscriptFile(Struct, frozen=True, gc=False):
    """A file with a conversation. `modified`: Unix time in milliseconds. `size`: in bytes."""

    path: str
    size: int
    modified: int


class Excerpt(Struct, frozen=True, gc=False):
    """A piece of a transcript. The pieces of a file are read in order.

    `conversation`: the agent's own id of the conversation. `cwd`: the folder of the conversation. Both are
    empty until they are known. `malformed`: the number of lines that cannot be read. `is_foreign`: the
    conversation belongs to a sub-agent. `is_whole`: False if the file ends with an incomplete part, for
    example because it is still being written.
    """

    conversation: str
    cwd: str
    passages: tuple[Passage, ...] = ()
    malformed: int = 0
    is_foreign: bool = False
    is_whole: bool = True
