"""The tables, as an ordered list of migrations. `user_version` counts those that were applied."""

from __future__ import annotations

import sqlite3

from rhetor.errors import StoreRefused

_FIRST = """
-- 'clean': 1 from a clean close to the next opening. 'refusals': how often a transaction failed.
-- 'version': the version of the rows that were written last.
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- One epoch of a stream. Its head is not stored: it is the greater of earliest - 1 and its last event's
-- number. base, base_seq: the position of another incarnation from which it continues.
CREATE TABLE incarnations (
    id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    epoch TEXT NOT NULL UNIQUE,
    present INTEGER NOT NULL DEFAULT 1,
    earliest INTEGER NOT NULL DEFAULT 1,
    base INTEGER REFERENCES incarnations (id),
    base_seq INTEGER
);
CREATE INDEX incarnations_stream ON incarnations (stream);
CREATE UNIQUE INDEX incarnations_present ON incarnations (stream) WHERE present;

-- data: the payload as JSON. Events below the incarnation's earliest are hidden and will be deleted.
CREATE TABLE events (
    inc INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    turn_id TEXT,
    step TEXT,
    data BLOB NOT NULL,
    PRIMARY KEY (inc, seq)
) WITHOUT ROWID;

-- Messages. They are kept when their events are deleted.
CREATE TABLE texts (
    id INTEGER PRIMARY KEY,
    inc INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    turn_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE UNIQUE INDEX texts_place ON texts (inc, seq);
CREATE INDEX texts_turn ON texts (inc, turn_id);
CREATE VIRTUAL TABLE words USING fts5 (content, content='texts', content_rowid='id');

CREATE TABLE rows (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    doc BLOB NOT NULL,
    owner TEXT NOT NULL,
    parent TEXT NOT NULL,
    name TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX rows_name ON rows (kind, owner, name) WHERE name IS NOT NULL;
CREATE INDEX rows_parent ON rows (kind, parent, state);
CREATE INDEX rows_state ON rows (kind, state);

CREATE TABLE keys (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    result BLOB NOT NULL,
    epoch TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;

CREATE TABLE sources (source TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
"""

_QUESTIONS_BY_TIME = """
-- The newest question is not always the last one stored, because conversations can be imported.
CREATE INDEX texts_asked ON texts (at, id) WHERE role <> 'assistant';
"""

_ROWS_HAVE_VERSIONS = """
-- Versions are counted for the whole store, so that a row that is dropped and written again gets a new one.
ALTER TABLE rows ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
INSERT INTO meta VALUES ('version', 1);
"""

_KINDS_BY_NEW_NAMES = """
UPDATE rows SET kind = 'peer_stats' WHERE kind = 'figures';
UPDATE rows SET kind = 'context', state = 'kept' WHERE kind = 'staged';  -- its state counted the changes
UPDATE rows SET kind = 'read_mark', state = 'kept' WHERE kind = 'given';
"""

_SESSIONS_BY_USE = """
-- Sessions that ended with the answer to their only message have a state of their own: they are not listed.
UPDATE rows SET state = 'answered'
WHERE kind = 'session' AND state = 'expired' AND json_extract(CAST(doc AS TEXT), '$.once');
UPDATE rows SET doc = CAST(json_set(CAST(doc AS TEXT), '$.started', json('true')) AS BLOB)
WHERE kind = 'session'
    AND EXISTS (SELECT 1 FROM incarnations i JOIN texts t ON t.inc = i.id WHERE i.stream = rows.id);
"""

_SUMS_OF_USAGE = """
-- Sums of usage are rows, which the hub makes from the log if there are none. An earlier version must not
-- open the database any more: it would log usage without adding to them.
DELETE FROM rows WHERE kind IN ('usage', 'usage_session', 'usage_folded');
"""

_SEALS = """
-- sealed_as: the epoch for which the content of the incarnation was sealed; NULL if that is its epoch.
ALTER TABLE incarnations ADD COLUMN sealed_as TEXT;
-- The ids of the keys with which values are sealed: events.data, texts.content, rows.doc and keys.result.
-- 'sealed' in meta: 1 if some values may be sealed, 2 if all are. 'vacuum': 1 if pages that are free may have
-- plain content. A migration that changes what a value was sealed for must seal it again: see sealed.py.
CREATE TABLE seals (key BLOB PRIMARY KEY) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (
    _FIRST,
    _QUESTIONS_BY_TIME,
    _ROWS_HAVE_VERSIONS,
    _KINDS_BY_NEW_NAMES,
    _SESSIONS_BY_USE,
    _SUMS_OF_USAGE,
    _SEALS,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest schema. Each migration is applied completely or not at all.

    Raises:
        StoreRefused: a newer version of the program wrote the database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreRefused(
            f"the database has schema {version}, but this version of rhetor supports only {len(MIGRATIONS)}",
            schema=version,
            hint="install the newer version of rhetor that wrote it",
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
