-- All messages, newest first. $1 … $4 narrow them, NULL does not.
SELECT t.id, i.id, coalesce(i.sealed_as, i.epoch), t.turn_id, r.doc, t.seq, t.content, t.sealed
FROM texts t JOIN incarnations i ON i.id = t.inc LEFT JOIN rows r ON r.kind = 'turn' AND r.id = t.turn_id
WHERE ($1::bigint IS NULL OR t.at >= $1) AND ($2::text[] IS NULL OR i.stream = ANY ($2))
    AND ($3::text IS NULL OR r.owner = $3) AND ($4::bytea IS NULL OR position($4 IN r.doc) > 0)
ORDER BY t.id DESC
