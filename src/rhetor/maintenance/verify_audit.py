"""Checks the chain of the audit: no entry was changed, removed, inserted or moved.

This cannot notice an older copy of the whole database, or a chain written by somebody who has its key. With a
note of the last entry that is kept elsewhere (`expected`), it can.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from rhetor.domain import audit as a
from rhetor.domain.audit import AuditEntry, Count

from .check_log import Finding


class Stored(Struct, frozen=True):
    """An entry as the columns of its row have it, without encryption. `node`: which has numbered it; empty
    for a hub alone."""

    seq: int
    at: int
    type: str
    turn_id: str | None
    step: str | None
    data: bytes
    node: str = ""

    def entry(self) -> AuditEntry | None:
        """Return the entry; None if the row is not as the hub writes it."""
        if (self.type, self.turn_id, self.step) != (AuditEntry.type, None, None):
            return None
        try:
            entry = msgspec.json.decode(self.data, type=AuditEntry)
        except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
            return None
        return entry if a.content_of(entry) == self.data else None


class Verified(Struct, frozen=True, omit_defaults=True):
    """How many entries there are, the chain of the last one, and what is wrong, in the order of the entries.

    `node`: whose chain it is; empty for a hub alone. `chains`: if there are several, the node, the number of
    entries and the end of each.
    """

    entries: int
    chain: str
    findings: tuple[Finding, ...]
    node: str = ""
    chains: tuple[tuple[str, int, str], ...] = ()


def verified(
    read: Callable[[], Iterable[Stored]],
    key: bytes,
    count: Count | None,
    expected: tuple[int, str] | None = None,
) -> Verified:
    """Check the entries that each call of `read` returns. `count`: what the hub has counted. `expected`: a
    number and the chain that this entry had."""
    findings: list[Finding] = []
    number, is_as_expected = 0, expected is None
    chain: str | None = ""  # of the entry before; None if the next one cannot be checked without it
    for stored in read():
        if stored.seq > number + 1:
            findings.append(_missing(number + 1, stored.seq - 1))
        before = chain if stored.seq == number + 1 else None
        number, entry = stored.seq, stored.entry()
        if entry is None:
            findings.append(_finding("audit_changed", stored, "it is not as the hub has written it"))
        elif before is not None and not _fits(key, before, stored.seq, stored.at, entry):
            findings.append(_misfit(read, key, stored, entry))
        elif (entry.action, entry.detail) == (a.GAP, a.KEY_LOST):
            findings = _key_lost(findings, number)
        elif entry.action == a.GAP:
            findings.append(_finding("audit_gap", stored, f"when the hub wrote it, it found: {entry.detail}"))
        chain = entry.chain if entry else None
        is_as_expected = is_as_expected or (number, chain) == expected
    findings += _end(key, count, number, chain or "")
    if not is_as_expected and expected is not None:
        findings.append(replaced(expected))
    return Verified(number, chain or "", tuple(findings))


def replaced(expected: tuple[int, str]) -> Finding:
    """Return the finding that no entry is as expected."""
    detail = "there is no such entry with the chain that you have noted"
    return Finding("audit_replaced", f"entry {expected[0]}", detail)


def _fits(key: bytes, before: str, number: int, at: int, entry: AuditEntry) -> bool:
    return hmac.compare_digest(a.chain_of(key, before, number, at, entry), entry.chain)


def _key_lost(findings: Iterable[Finding], number: int) -> list[Finding]:
    """Return the findings, with a single one of all entries before a number that do not fit the key."""
    lost = f"the entries 1 to {number - 1} cannot be checked, because the key of their chain is lost"
    others = (each for each in findings if each.kind not in ("audit_key", "audit_changed", "audit_moved"))
    return [Finding("audit_key", "entry 1", lost), *others]


def _missing(first: int, last: int) -> Finding:
    if first == last:
        return Finding("audit_missing", f"entry {first}", "it is missing")
    return Finding("audit_missing", f"entry {first}", f"the entries {first} to {last} are missing")


def _finding(kind: str, stored: Stored, detail: str) -> Finding:
    entry = stored.entry()
    of = f", {entry.action} by {entry.subject or 'unknown'}" if entry else ""
    return Finding(kind, f"entry {stored.seq}", f"{detail} ({_time(stored.at)}{of})")


def _time(at: int) -> str:
    try:
        return datetime.fromtimestamp(at / 1000).astimezone().isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return f"time {at}"


def _misfit(read: Callable[[], Iterable[Stored]], key: bytes, stored: Stored, entry: AuditEntry) -> Finding:
    """Return the finding for an entry whose chain does not fit: it was moved, or it was changed or
    inserted."""
    places = [(each.seq, each.at, found.chain if (found := each.entry()) else "") for each in read()]
    chains = {seq: chain for seq, _, chain in places}
    for seq, at in [*((seq, at) for seq, at, _ in places), (places[-1][0] + 1, stored.at)]:
        # two entries that have changed places may be neighbours
        befores = {chains.get(place, "") for place in (seq - 1, seq, stored.seq - 1)}
        if any(_fits(key, before, seq, when, entry) for before in befores for when in {at, stored.at}):
            return _finding("audit_moved", stored, f"the hub has written it as entry {seq}")
    return _finding("audit_changed", stored, "it was changed, or the hub has not written it")


def _end(key: bytes, count: Count | None, number: int, chain: str) -> Iterator[Finding]:
    place = f"entry {number}"
    if count is None:
        yield Finding("audit_count", place, "the count of the entries is missing")
    elif not count.is_genuine(key):
        yield Finding("audit_count", place, "the count of the entries was changed")
    elif count.number > number:
        yield _missing(number + 1, count.number)
    elif count.number < number:
        yield Finding("audit_count", place, f"the hub has counted only {count.number} entries")
    elif count.chain != chain:
        yield Finding("audit_count", place, "it is not the last entry that the hub has written")
