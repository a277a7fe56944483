"""A conversation that an agent has kept by itself, as values: what is taken of it into the log."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .output import Plain

Ending = Literal["completed", "failed", "interrupted"]


class Passage(Struct, frozen=True, gc=False):
    """What was asked and what came of it. `id`: its own in the conversation, the same whenever it is read;
    `at`, `until`: Unix time in milliseconds; `detail`: why there is no whole answer."""

    id: str
    at: int
    until: int
    content: str
    outputs: tuple[Plain, ...]
    ending: Ending = "completed"
    detail: str = ""
    model: str | None = None


class TranscriptFile(Struct, frozen=True, gc=False):
    """`modified`: Unix time in milliseconds; `size` in bytes."""

    path: str
    size: int
    modified: int


class Excerpt(Struct, frozen=True, gc=False):
    """A piece of a transcript, in order. `conversation`: the agent's own id of it; `cwd`: the folder in which
    it was held; both empty as long as they are not known. `malformed`: lines of it that cannot be read;
    `is_foreign`: it is a sub-agent's; `is_whole`: nothing is left behind it for later, as at the end of a
    file that is being written."""

    conversation: str
    cwd: str
    passages: tuple[Passage, ...] = ()
    malformed: int = 0
    is_foreign: bool = False
    is_whole: bool = True
