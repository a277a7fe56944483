"""The note in a state folder that its log was moved away, so that no hub begins a new one here."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from rhetor.errors import InvalidSettings
from rhetor.hub.core.ids import wall_clock

from .folders import fsync

MARK = "moved.json"


class Moved(Struct, frozen=True):
    """Where the log is now, and since when, as Unix time in milliseconds."""

    to: str
    at: int


def mark(home: Path, to: str) -> None:
    """Note durably where the log of a state folder is now."""
    draft = home / f"{MARK}.part"
    draft.write_bytes(msgspec.json.encode(Moved(to, wall_clock())))
    fsync(draft)
    draft.replace(home / MARK)
    fsync(home)


def moved(home: Path) -> Moved | None:
    """Return where the log of a state folder was moved to; None if it was not."""
    try:
        return msgspec.json.decode((home / MARK).read_bytes(), type=Moved)
    except FileNotFoundError:
        return None


def require_here(home: Path) -> None:
    """Check that a hub may begin, or continue, a log in this folder.

    Raises:
        InvalidSettings: the log was moved away.
    """
    if (where := moved(home)) is not None:
        hint = f"remove {home / MARK} to begin a new log here"
        if not where.to.startswith("sqlite:"):
            hint = f"set store to that place, with its password; or {hint}"
        raise InvalidSettings(f"the log of {home} was moved to {where.to}; {hint}")
