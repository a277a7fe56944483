"""Moves the log, the catalog and the binary content of a stopped hub to another database.

The copy becomes visible when all of it is there and was compared with the original. Then the original is put
aside. If this is interrupted, the original is unchanged, or the same command finishes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from rhetor.store.transfer import Differs, Summed, compare, copy, size_of, sums

from .places import POSTGRES, NotMoved, Place
from .progress import Progress

SHOWN = {"events": "event", "rows": "row", "blobs": "blob"}


class Result(Struct, frozen=True):
    """What was moved, and where to. `sections`: empty if only the rest of an interrupted move was done.
    `aside`: the folder with the original, if it has one."""

    to: str
    sections: Mapping[str, Summed]
    aside: Path | None

    @property
    def lines(self) -> Sequence[str]:
        """What the command prints."""
        sections = self.sections
        counts = [_counted(sections[name].rows, word) for name, word in SHOWN.items() if sections]
        moved = f"moved {', '.join(counts)} to {self.to}" if counts else f"finished the move to {self.to}"
        kept = [f"the original is in {self.aside}"] if self.aside else []
        if self.to.startswith(POSTGRES):
            return [moved, *kept, "now set store to that place in config.yaml, with its user and password"]
        return [moved, *kept]


async def move(source: Place, target: Place, progress: Progress) -> Result:
    """Move the log from one place to another. The caller keeps hubs from using either.

    Raises:
        NotMoved: the target has another log, the source has none, or one of them is in use; or the copy was
            not the same. Nothing was changed.
        StoreDamaged, StoreRefused, KeysUnavailable: a database cannot be opened, read or written.
        OSError: a file cannot be read or written.
    """
    if source.name == target.name:
        raise NotMoved(f"the log is in {target.name} already")
    if source.is_left(target.name):
        return Result(target.name, {}, await source.leave(target.name))
    await source.prepare()
    if await target.has_log():
        sections = await _require_same(source, target, progress)
    else:
        sections = await _copied(source, target, progress)
    return Result(target.name, sections, await source.leave(target.name))


async def _copied(source: Place, target: Place, progress: Progress) -> Mapping[str, Summed]:
    async with source.reading() as whole, target.writing() as copied:
        progress.total = 2 * await size_of(whole)
        try:
            return await copy(whole, copied, progress.add)
        except Differs as error:
            raise NotMoved(f"the copy in {target.name} is not the same, and was dropped: {error}") from error


async def _require_same(source: Place, target: Place, progress: Progress) -> Mapping[str, Summed]:
    """Check that the target has a complete copy, which an interrupted command has made."""
    async with source.reading() as whole, target.reading() as there:
        progress.total = 2 * await size_of(whole)
        sections = await sums(whole, progress.add)
        try:
            await compare(sections, there, progress.add)
        except Differs as error:
            raise NotMoved(f"{target.name} has another log already; name an empty database") from error
    return sections


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
