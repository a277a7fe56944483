-- Questions, newest first, before a place; the document of each turn's row. $3 … $6 narrow them, NULL does not.
SELECT t.id, t.at, i.stream, i.id, coalesce(i.sealed_as, i.epoch), t.turn_id, t.seq, r.doc
FROM texts t JOIN incarnations i ON i.id = t.inc LEFT JOIN rows r ON r.kind = 'turn' AND r.id = t.turn_id
WHERE t.role <> 'assistant' AND (t.at, t.id) < ($1, $2)
    AND ($3::bigint IS NULL OR t.at >= $3) AND ($4::text[] IS NULL OR i.stream = ANY ($4))
    AND ($5::text IS NULL OR r.owner = $5) AND ($6::bytea IS NULL OR position($6 IN r.doc) > 0)
ORDER BY t.at DESC, t.id DESC
LIMIT $7
