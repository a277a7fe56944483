-- Texts with the ids that they had elsewhere.
INSERT INTO texts (id, inc, seq, turn_id, role, content, at, sealed, words)
OVERRIDING SYSTEM VALUE
SELECT id, inc, seq, turn_id, role, content, at, sealed, words::tsvector
FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::bigint[], $8::boolean[],
    $9::text[]
) AS t (id, inc, seq, turn_id, role, content, at, sealed, words)
