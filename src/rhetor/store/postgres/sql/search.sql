-- Messages that have all the words, best first. $2 … $5 narrow them, NULL does not.
SELECT t.id, i.id, coalesce(i.sealed_as, i.epoch), t.turn_id, r.doc
FROM texts t JOIN incarnations i ON i.id = t.inc LEFT JOIN rows r ON r.kind = 'turn' AND r.id = t.turn_id
WHERE t.words @@ $1::text::tsquery
    AND ($2::bigint IS NULL OR t.at >= $2) AND ($3::text[] IS NULL OR i.stream = ANY ($3))
    AND ($4::text IS NULL OR r.owner = $4) AND ($5::bytea IS NULL OR position($5 IN r.doc) > 0)
ORDER BY ts_rank(t.words, $1::text::tsquery) DESC, t.id DESC
