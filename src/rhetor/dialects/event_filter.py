"""The event filter of a subscription: names of types, or families such as `tool.*`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from rhetor.domain.event import PAYLOADS, Folded, OutputDelta
from rhetor.errors import Unprocessable

Names = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=100)]
Types = frozenset[str]
_FAMILIES = {kind[: dot.start() + 1] + "*" for kind in PAYLOADS for dot in re.finditer(r"\.", kind)}
_NAMED = "|".join(map(re.escape, [*PAYLOADS, *sorted(_FAMILIES)]))
# a filter in a query, as a JSON Schema describes it
PATTERN = rf"^[ \t]*(({_NAMED})[ \t]*)?(,[ \t]*(({_NAMED})[ \t]*)?)*$"


def types_of(names: Sequence[str]) -> Types | None:
    """Return the types of the events that the filter lets through; None, which means all, if it is empty.

    Folded chunks are let through wherever chunks are, so that a reader notices that they are missing.

    Raises:
        Unprocessable: a name is neither a type nor a family.
    """
    found: set[str] = set()
    for name in names:
        family = name.removesuffix("*")
        matching = {name} & PAYLOADS.keys()
        if name.endswith(".*"):
            matching = {kind for kind in PAYLOADS if kind.startswith(family)}
        if not matching:
            raise Unprocessable(
                f"events: no event is called {name!r}; give types such as turn.completed, or tool.*",
                faults=[{"where": "events", "why": f"no event is called {name!r}"}],
            )
        found |= matching
    if OutputDelta.type in found:
        found.add(Folded.type)
    return frozenset(found) or None


def split(text: str | None) -> list[str]:
    """Return the names in a query, which are separated by commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]
