"""Reads the audit in the database of a state folder, also while the hub is running, and writes it as text."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct

from rhetor.domain import audit as a
from rhetor.domain.audit import AuditEntry, Count
from rhetor.errors import RhetorError, SealBroken
from rhetor.hub.core.audit_chain import KEY, AuditKey
from rhetor.sealing.ring import Ring
from rhetor.store.sealed import Sealing
from rhetor.store.sqlite.sealed import sealing_of
from rhetor.store.sqlite.snapshot import snapshot

from .archive import DATABASE
from .check_log import Finding
from .verify_audit import Stored, Verified, replaced, verified

ORIGIN = "coalesce(sealed_as, epoch)"
TABLE = "events JOIN incarnations ON inc = id WHERE stream = ?"
STREAMS = "SELECT stream FROM incarnations UNION SELECT id FROM rows WHERE kind = ? ORDER BY 1"
WHO, FROM, OUTCOME = 12, 15, 9  # the widths of columns of the text

T = TypeVar("T")


class NoAudit(RhetorError):
    """There is no database, or it cannot be read."""

    code, status = "no_audit", 404


class Shown(Struct, frozen=True):
    """Which entries are shown; by default, all. `since`: Unix time in milliseconds. `subject`: of the caller;
    with `*` at its end, all that begin with it. `last`: how many at most."""

    since: int | None = None
    subject: str | None = None
    last: int | None = None

    def wants(self, stored: Stored, entry: AuditEntry) -> bool:
        if self.since is not None and stored.at < self.since:
            return False
        if self.subject is None:
            return True
        if self.subject.endswith("*"):
            return entry.subject.startswith(self.subject[:-1])
        return entry.subject == self.subject


class _Source(Struct):
    """The database, and what opens its values."""

    connection: sqlite3.Connection
    sealing: Sealing

    def streams(self) -> list[str]:
        """Return the streams of the audit: that of a hub alone first, or only that if there is none."""
        found = [name for (name,) in self.connection.execute(STREAMS, (a.COUNT,)) if a.is_stream(name)]
        return found or [a.STREAM]

    def all_entries(self) -> list[Stored]:
        """Return the entries of all streams, in the order of their times."""
        streams = self.streams()
        found = [entry for stream in streams for entry in self.entries(stream)]
        return found if len(streams) == 1 else sorted(found, key=lambda each: each.at)

    def entries(self, stream: str) -> Iterator[Stored]:
        query = f"SELECT {ORIGIN}, seq, at, type, turn_id, step, data FROM {TABLE} ORDER BY inc, seq"
        for origin, seq, at, kind, turn_id, step, data in self.connection.execute(query, (stream,)):
            yield Stored(seq, at, kind, turn_id, step, self._data(origin, seq, data), a.node_of(stream))

    def _data(self, origin: str, seq: int, data: bytes) -> bytes:
        try:
            return self.sealing.opened_event(origin, seq, data)
        except SealBroken:
            return data  # which is no entry: `verify` names it

    def document(self, place: tuple[str, str]) -> bytes | None:
        query = "SELECT doc FROM rows WHERE kind = ? AND id = ?"
        row = self.connection.execute(query, place).fetchone()
        try:
            return self.sealing.opened_doc(*place, row[0]) if row else None
        except SealBroken:
            return None


@contextmanager
def _opened(home: Path, ring: Ring | None) -> Iterator[_Source]:
    database = home / DATABASE
    if not database.exists():
        raise NoAudit(f"{database} does not exist; name the state folder with --home or RHETOR_HOME")
    try:
        with snapshot(database) as source:
            yield _Source(source, sealing_of(source, ring or Ring(home)))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise NoAudit(f"{database} cannot be read: {error}; run rhetor check") from error


def verify(home: Path, expected: tuple[int, str] | None = None, ring: Ring | None = None) -> Verified:
    """Check the whole audit of a state folder. `expected`: as in `verified`. `ring`: opens what is sealed.

    Raises:
        KeysUnavailable: something is sealed, and the keys cannot be read.
        NoAudit: there is no database, or it cannot be read.
    """
    with _opened(home, ring) as source:
        streams = source.streams()
        found = [finding for stream in streams for finding in _structure(source.connection, stream)]
        stored = _decoded(source.document(KEY), AuditKey)
        if stored is None:
            number = len(source.all_entries())
            detail = "the key of the chain is missing, so no entry can be checked"
            return Verified(number, "", (*found, Finding("audit_key", "row audit_key", detail)))
        key = bytes.fromhex(stored.key)
        if len(streams) == 1:
            done = _chain(source, key, streams[0], expected)
            return msgspec.structs.replace(done, findings=(*found, *done.findings))
        chains = [_chain(source, key, stream) for stream in streams]
        entries = source.all_entries()
    checked = [finding for chain in chains for finding in chain.findings]
    if expected is not None and not any(_is(stored, expected) for stored in entries):
        checked.append(replaced(expected))
    ends = tuple((c.node, c.entries, c.chain) for c in chains)
    return Verified(len(entries), "", (*found, *checked), chains=ends)


def _chain(source: _Source, key: bytes, stream: str, expected: tuple[int, str] | None = None) -> Verified:
    """Check the entries of one stream."""
    count = _decoded(source.document((a.COUNT, stream)), Count)
    done = verified(lambda: source.entries(stream), a.key_for(key, stream), count, expected)
    node = a.node_of(stream)
    if not node:
        return done
    places = (msgspec.structs.replace(f, place=f"{f.place} of {node}") for f in done.findings)
    return msgspec.structs.replace(done, findings=tuple(places), node=node)


def _is(stored: Stored, expected: tuple[int, str]) -> bool:
    entry = stored.entry()
    return entry is not None and (stored.seq, entry.chain) == expected


def _decoded(doc: bytes | None, kind: type[T]) -> T | None:
    try:
        return None if doc is None else msgspec.json.decode(doc, type=kind)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        return None


def _structure(source: sqlite3.Connection, stream: str) -> Iterator[Finding]:
    """Check the row of a stream, which could hide entries."""
    query = "SELECT present, earliest FROM incarnations WHERE stream = ?"
    rows, place = source.execute(query, (stream,)).fetchall(), f"stream {stream}"
    if not rows:
        detail = "there is none; a hub writes an entry whenever it starts"
        yield Finding("audit_missing", place, detail)
    elif len(rows) > 1:
        yield Finding("audit_stream", place, f"there are {len(rows)} streams in place of one")
    for present, earliest in rows:
        if not present or earliest != 1:
            yield Finding("audit_stream", place, "its row was changed, so that entries are hidden")


class Line(Struct, frozen=True):
    """What is shown of an entry: with the outcome of its action."""

    stored: Stored
    entry: AuditEntry
    outcome: str
    detail: str


def entries(home: Path, shown: Shown, ring: Ring | None = None) -> Sequence[tuple[Stored, AuditEntry]]:
    """Return the entries as they are stored, the oldest first.

    Raises:
        NoAudit: there is no database, or it cannot be read.
    """
    with _opened(home, ring) as source:
        read = _readable(source.all_entries())
        found = [(stored, entry) for stored, entry in read if shown.wants(stored, entry)]
    return found if shown.last is None else found[-shown.last :]


def lines(home: Path, shown: Shown, ring: Ring | None = None, *, is_running: bool) -> Sequence[Line]:
    """Return the entries with the outcomes of their actions, the oldest first. `is_running`: a hub is
    running.

    Raises:
        NoAudit: there is no database, or it cannot be read.
    """
    with _opened(home, ring) as source:
        kept: list[tuple[Stored, AuditEntry]] = []
        ends: dict[tuple[str, int], AuditEntry] = {}
        started: dict[str, int] = {}
        for stored, entry in _readable(source.all_entries()):
            if entry.of is not UNSET:
                ends[stored.node, entry.of] = entry
                continue
            if entry.action == a.STARTED:
                started[stored.node] = stored.seq
            if shown.wants(stored, entry):
                kept.append((stored, entry))
    chosen = kept if shown.last is None else kept[-shown.last :]
    # a hub that runs on a file is alone
    running = started.get("", 0) if is_running else None
    return [_line(s, entry, ends, None if s.node else running) for s, entry in chosen]


def _line(
    stored: Stored, entry: AuditEntry, ends: Mapping[tuple[str, int], AuditEntry], started: int | None
) -> Line:
    """`started`: the number of the entry of the start of the running hub; None if none is running."""
    end = ends.get((stored.node, stored.seq))
    if entry.outcome != a.BEGUN or end is not None:
        details = (entry.detail, end.detail if end else "")
        return Line(stored, entry, end.outcome if end else entry.outcome, "; ".join(filter(None, details)))
    is_pending = started is not None and stored.seq > started
    return Line(stored, entry, a.PENDING if is_pending else a.UNKNOWN, entry.detail)


def _readable(found: Iterable[Stored]) -> Iterator[tuple[Stored, AuditEntry]]:
    for stored in found:
        try:
            yield stored, msgspec.json.decode(stored.data, type=AuditEntry)
        except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):  # `verify` names it
            yield stored, AuditEntry("?", "unreadable")


def as_json(stored: Stored, entry: AuditEntry) -> bytes:
    """Return an entry as one line of JSON, without its end."""
    node = {"node": stored.node} if stored.node else {}
    at = _local(stored.at).isoformat()
    return msgspec.json.encode({"number": stored.seq, "at": at, **_members(entry), **node})


def _members(entry: AuditEntry) -> dict[str, object]:
    members = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return {name: value for name, value in members.items() if value is not UNSET}


def _local(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000).astimezone()


def as_text(found: Sequence[Line], width: int | None, write: Callable[[str], object]) -> None:
    """Write one line for each entry, and one for each day. `width`: of the terminal; None if lines may have
    any length."""
    day = ""
    for line in found:
        at = _local(line.stored.at)
        if f"{at:%Y-%m-%d}" != day:
            day = f"{at:%Y-%m-%d}"
            write(f"{day}\n")
        write(_cut(_columns(line, f"{at:%H:%M:%S}", width is not None), width) + "\n")


def _columns(line: Line, time: str, is_narrow: bool) -> str:
    entry = line.entry
    who, origin = _plain(entry.subject or "-"), _plain(entry.address or entry.api or "-")
    what = " ".join(filter(None, (entry.action, entry.target)))
    detail = f" ({line.detail})" if line.detail else ""
    columns = [
        time,
        _fitted(who, WHO, is_narrow),
        _fitted(origin, FROM, is_narrow),
        _fitted(line.outcome, OUTCOME, is_narrow),
    ]
    return " ".join([*columns, _plain(what + detail)])


def _fitted(text: str, width: int, is_narrow: bool) -> str:
    return _cut(text, width if is_narrow else None).ljust(width)


def _cut(text: str, width: int | None) -> str:
    text = text.rstrip()
    return text if width is None or len(text) <= width else f"{text[: width - 1]}…"


def _plain(text: str) -> str:
    """Return the text without line ends and what could control a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
