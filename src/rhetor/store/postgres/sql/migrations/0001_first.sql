-- 'sealed': 1 if some content may be sealed, 2 if all is.
CREATE TABLE meta (key text COLLATE "C" PRIMARY KEY, value bigint NOT NULL);

-- The hubs that write here. Each commit of a node checks its fence, which a take-over raises, and its lease,
-- by the clock of the database. commits: how many transactions the node has committed; after a lost connection
-- this tells whether the last one was.
CREATE TABLE nodes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    fence bigint NOT NULL DEFAULT 1,
    expires_at timestamptz NOT NULL DEFAULT 'infinity',
    commits bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

-- One epoch of a stream. head: the number of its last event. bytes: about what its events take. base, base_seq:
-- the position of another incarnation from which it continues. sealed_as: the epoch for which its content was
-- sealed; NULL if that is its epoch.
CREATE SEQUENCE incarnation_ids;
CREATE TABLE incarnations (
    id bigint PRIMARY KEY,
    stream text COLLATE "C" NOT NULL,
    epoch text COLLATE "C" NOT NULL UNIQUE,
    present boolean NOT NULL,
    earliest bigint NOT NULL DEFAULT 1,
    head bigint NOT NULL,
    bytes bigint NOT NULL,
    base bigint REFERENCES incarnations (id),
    base_seq bigint,
    sealed_as text COLLATE "C"
) WITH (fillfactor = 50);
CREATE INDEX incarnations_stream ON incarnations (stream);
CREATE UNIQUE INDEX incarnations_present ON incarnations (stream) WHERE present;
CREATE INDEX incarnations_base ON incarnations (base) WHERE base IS NOT NULL;

-- data: the payload as JSON in UTF-8, or sealed: convert_from(data, 'UTF8'). Events below the incarnation's
-- earliest are hidden and will be deleted.
CREATE TABLE events (
    inc bigint NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    turn_id text COLLATE "C",
    step text COLLATE "C",
    data bytea NOT NULL,
    PRIMARY KEY (inc, seq)
);
CREATE INDEX events_usage ON events (inc, seq) WHERE type = 'usage.reported';

-- Messages. They are kept when their events are deleted. content is bytes, because a text cannot contain NUL.
-- words: what a search finds; NULL if content is sealed.
CREATE TABLE texts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inc bigint NOT NULL,
    seq bigint NOT NULL,
    turn_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    content bytea NOT NULL,
    sealed boolean NOT NULL,
    at bigint NOT NULL,
    words tsvector
);
CREATE UNIQUE INDEX texts_place ON texts (inc, seq);
CREATE INDEX texts_turn ON texts (inc, turn_id);
-- The newest question is not always the last one stored, because conversations can be imported.
CREATE INDEX texts_asked ON texts (at, id) WHERE role <> 'assistant';
CREATE INDEX texts_words ON texts USING gin (words);

-- version: each transaction takes 256 numbers of row_versions, so that no two writes have the same one.
CREATE SEQUENCE row_versions INCREMENT BY 256;
CREATE TABLE rows (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    doc bytea NOT NULL,
    owner text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    name text COLLATE "C",
    at bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE UNIQUE INDEX rows_name ON rows (kind, owner, name) WHERE name IS NOT NULL;
CREATE INDEX rows_parent ON rows (kind, parent, state);
CREATE INDEX rows_state ON rows (kind, state);

CREATE TABLE keys (
    scope text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    result bytea NOT NULL,
    epoch text COLLATE "C" NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (scope, key)
);

-- How many bytes of a spool are in the log.
CREATE TABLE sources (source text COLLATE "C" PRIMARY KEY, bytes bigint NOT NULL);

-- The ids of the keys with which values are sealed: events.data, texts.content, rows.doc, keys.result and
-- blobs.content.
CREATE TABLE seals (key bytea PRIMARY KEY);

-- Binary content by its digest.
CREATE TABLE blobs (id text COLLATE "C" PRIMARY KEY, content bytea NOT NULL, at bigint NOT NULL);
ALTER TABLE blobs ALTER COLUMN content SET STORAGE EXTERNAL;
