"""Sealing stored values again: the plain ones that are to be sealed, and those with a retired key. Every
database goes through its values in the order of their keys, in steps, so that others can write in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct

from rhetor.sealing.envelope import is_sealed, key_id_of

from .sealed import Sealing, of_event, of_key, of_row, of_text

VALUES, BYTES = 256, 1 << 20  # in one step


class Place(Struct, frozen=True):
    """A value: the number of its table, and its key; without a key, the place before the first one."""

    table: int = 0
    key: tuple[Any, ...] = ()


class Step(Struct, frozen=True):
    """`place`: of the last value; None if there are no more. `changed`: values that were sealed. `broken`:
    values that cannot be opened, and were left as they are."""

    place: Place | None
    changed: int
    broken: int


def resealed(
    sealing: Sealing, retired: Collection[bytes], table: str, row: Sequence[Any]
) -> tuple[Any, ...] | None:
    """Return the new values of a row of a table; None if it does not change. The row begins with its key, and
    ends with the value; in between comes what the value is sealed for.

    Raises:
        SealBroken: the value cannot be opened.
    """

    def is_due(value: Any, is_to_be_sealed: bool) -> bool:
        return key_id_of(value) in retired if is_sealed(value) else is_to_be_sealed

    value = row[-1]
    match table, tuple(row):
        case "events", (_, seq, origin, _) if is_due(value, sealing.at_rest):
            opened = sealing.opened_event(origin, seq, value)
            return (sealing.seal(opened, of_event(origin, seq)),)
        case "texts", (_, origin, seq, _) if is_due(value, sealing.at_rest):
            opened = sealing.opened_text(origin, seq, value).encode()
            return (sealing.seal(opened, of_text(origin, seq)),)
        case "rows", (kind, id, _) if is_due(value, sealing.seals(kind)):
            return (sealing.seal(sealing.opened_doc(kind, id, value), of_row(kind, id)),)
        case "keys", (scope, key, fingerprint, _) if is_due(value, sealing.at_rest):
            opened = sealing.opened_result(scope, key, value)
            return sealing.fingerprint(fingerprint), sealing.seal(opened, of_key(scope, key))
    return None
