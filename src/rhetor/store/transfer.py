"""Copies everything of a store into an empty one, as it is stored: numbers, epochs and versions stay, and
what is sealed stays sealed.

A store has the sections below, whichever database it uses. Each value has the same form in all of them: text,
bytes, an integer, or None. So two stores have the same content if their sections have the same digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

Values = tuple[Any, ...]
BATCH_ROWS, BATCH_BYTES = 2_000, 8 << 20


class Section(Struct, frozen=True):
    """A part of a store. `order`: of the columns that identify a row; text is ordered by code points."""

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]


SECTIONS = (
    Section("meta", ("key", "value"), ("key",)),  # only 'sealed': how much is
    Section(
        "incarnations",
        ("id", "stream", "epoch", "present", "earliest", "base", "base_seq", "sealed_as"),
        ("id",),
    ),
    Section("events", ("inc", "seq", "at", "type", "turn_id", "step", "data"), ("inc", "seq")),
    Section("texts", ("id", "inc", "seq", "turn_id", "role", "content", "at"), ("id",)),
    Section(
        "rows", ("kind", "id", "state", "doc", "owner", "parent", "name", "at", "version"), ("kind", "id")
    ),
    Section(
        "keys", ("scope", "key", "fingerprint", "result", "epoch", "first", "last", "at"), ("scope", "key")
    ),
    Section("sources", ("source", "offset"), ("source",)),
    Section("seals", ("key",), ("key",)),  # the ids of keys with which values are sealed
    Section("blobs", ("id", "content"), ("id",)),
)


class Summed(Struct, frozen=True):
    """What a section has: the number of its rows, and a digest of all of them in their order."""

    rows: int
    digest: str


class Readable(Protocol):
    """A store that nobody else uses, or one state of it."""

    async def count(self, section: Section) -> int:
        """Return the number of rows."""
        ...

    def read(self, section: Section) -> AsyncIterator[Sequence[Values]]:
        """Yield all rows in batches, in the order of the section."""
        ...

    async def version(self) -> int:
        """Return the highest version that a row had. Those of later rows are higher."""
        ...


class Writable(Readable, Protocol):
    """A new store, which becomes visible when everything is in it."""

    async def write(self, section: Section, rows: Sequence[Values]) -> None:
        """Add rows, which come in the order of the section."""
        ...

    async def finish(self, version: int) -> None:
        """Make it a store that a hub can open. `version`: see `Readable.version`."""
        ...


class Differs(Exception):
    """A section of the copy is not the same as the original."""

    def __init__(self, section: str, original: Summed, copied: Summed) -> None:
        super().__init__(
            f"{section}: {original.rows:,} rows with the digest {original.digest[:12]} were copied as "
            f"{copied.rows:,} rows with the digest {copied.digest[:12]}"
        )


class Digest:
    """Sums the rows of a section."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._rows = 0

    def add(self, rows: Sequence[Values]) -> None:
        self._rows += len(rows)
        for row in rows:
            self._hash.update(msgspec.msgpack.encode(row))

    @property
    def summed(self) -> Summed:
        return Summed(self._rows, self._hash.hexdigest())


async def size_of(store: Readable) -> int:
    """Return the number of all rows."""
    return sum([await store.count(section) for section in SECTIONS])


async def copy(source: Readable, target: Writable, progress: Callable[[int], None]) -> Mapping[str, Summed]:
    """Copy all sections, compare the copy, finish it, and return what both have. `progress` gets the number
    of further rows that are copied or compared: each is counted twice.

    Raises:
        Differs: the copy is not the same.
    """
    original: dict[str, Summed] = {}
    for section in SECTIONS:
        digest = Digest()
        async for rows in source.read(section):
            digest.add(rows)
            await target.write(section, rows)
            progress(len(rows))
        original[section.name] = digest.summed
    await compare(original, target, progress)
    await target.finish(await source.version())
    return original


async def sums(store: Readable, progress: Callable[[int], None]) -> Mapping[str, Summed]:
    """Read everything, and return what the sections have."""
    return {section.name: await _summed(store, section, progress) for section in SECTIONS}


async def compare(original: Mapping[str, Summed], store: Readable, progress: Callable[[int], None]) -> None:
    """Check that a store has these sections.

    Raises:
        Differs: it does not.
    """
    for section in SECTIONS:
        found = await _summed(store, section, progress)
        if found != original[section.name]:
            raise Differs(section.name, original[section.name], found)


async def _summed(store: Readable, section: Section, progress: Callable[[int], None]) -> Summed:
    digest = Digest()
    async for rows in store.read(section):
        digest.add(rows)
        progress(len(rows))
    return digest.summed


def batches(rows: Iterable[Values]) -> Iterator[list[Values]]:
    """Divide rows into batches with few rows and bytes, so that large values take little memory."""
    batch: list[Values] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
