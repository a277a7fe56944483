"""The snapshots of this machine's projects, which the hub takes, compares and restores."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from rhetor.domain.machine import FilesFailed
from rhetor.store.files.base import DamagedObject, Files, Journal, Obstructed, OpenFiles
from rhetor.store.files.by_machine import Taken, failure_of

from .offers import Offered


class Take(msgspec.Struct):
    folder: str
    include: list[bytes] = []


class Diff(msgspec.Struct):
    old: bytes
    new: bytes


class Root(msgspec.Struct):
    root: bytes


class Restore(msgspec.Struct):
    folder: str
    target: bytes
    before: bytes
    note: bytes = b""


class Finish(msgspec.Struct):
    journal: Journal
    undo: bool = False


class Keep(msgspec.Struct):
    roots: list[bytes]
    most: int | None = None


class Nothing(msgspec.Struct):
    pass


class ProjectFiles:
    """The store of this machine's snapshots. Only folders in its projects are read or written."""

    def __init__(self, opened: OpenFiles, offered: Offered) -> None:
        self._opened = opened
        self._offered = offered
        self._alone = asyncio.Lock()

    async def call(self, method: str, arguments: Any) -> bytes:
        """Do what the hub asks; return the result as JSON.

        Raises:
            FilesFailed: it cannot be done.
        """
        async with self._alone:
            try:
                return msgspec.json.encode(await asyncio.to_thread(self._call, method, arguments))
            except (OSError, DamagedObject, Obstructed) as error:
                raise failure_of(error) from None
            except msgspec.ValidationError as error:
                raise FilesFailed(f"invalid arguments: {error}") from None

    def _call(self, method: str, given: Any) -> Any:
        files: Files = self._opened()
        match method:
            case "take":
                take = msgspec.convert(given, Take)
                return Taken.of(files.take(self._allowed(take.folder), include=take.include))
            case "diff":
                diff = msgspec.convert(given, Diff)
                return files.diff(diff.old, diff.new)
            case "paths":
                return sorted(files.paths(msgspec.convert(given, Root).root))
            case "restore":
                wanted = msgspec.convert(given, Restore)
                return files.restore(self._allowed(wanted.folder), wanted.target, wanted.before, wanted.note)
            case "unfinished":
                return files.unfinished()
            case "finish" | "settle":
                finish = msgspec.convert(given, Finish)
                self._allowed(finish.journal.folder.decode(errors="surrogateescape"))
                if method == "finish":
                    return files.finish(finish.journal, undo=finish.undo)
                return files.settle(finish.journal)
            case "keep":
                keep = msgspec.convert(given, Keep)
                return files.keep(keep.roots, most=keep.most) if self._opened.exists else 0
        raise FilesFailed(f"unknown method {method[:50]!r}")

    def _allowed(self, folder: str) -> Path:
        place = Path(folder).resolve()
        if not self._offered.in_project(place):
            raise FilesFailed(f"{folder} is in no project of this machine")
        return place
