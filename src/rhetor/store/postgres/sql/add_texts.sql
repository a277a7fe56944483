INSERT INTO texts (inc, seq, turn_id, role, content, sealed, at, words)
SELECT inc, seq, turn_id, role, content, sealed, at, words::tsvector
FROM unnest(
    $1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::boolean[], $7::bigint[], $8::text[]
) WITH ORDINALITY AS t (inc, seq, turn_id, role, content, sealed, at, words, number)
ORDER BY number
