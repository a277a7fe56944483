"""How a list shows a message: its first line."""

from __future__ import annotations

from .prefaces import without_prefaces
from .secrets import MASK

MOST_CHARACTERS = 100


def title_of(text: str) -> str | None:
    """Return the first line of a message, without what a coding agent puts before it. None if there is none,
    or if a part of it is masked."""
    said = without_prefaces(text) if text.startswith("<") else text
    line = next((line for line in map(str.strip, said.splitlines()) if line), "")
    title = " ".join(line[: 4 * MOST_CHARACTERS].split())[:MOST_CHARACTERS]
    return title if title and MASK not in line else None
