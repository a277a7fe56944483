-- Messages that have all the words, best first, of the newest $6 that have them. $2 … $5 narrow them, NULL does not.
WITH found AS MATERIALIZED (
    SELECT t.id, t.words, i.id AS inc, coalesce(i.sealed_as, i.epoch) AS origin, t.turn_id, r.doc
    FROM texts t JOIN incarnations i ON i.id = t.inc LEFT JOIN rows r ON r.kind = 'turn' AND r.id = t.turn_id
    WHERE t.words @@ $1::text::tsquery
        AND ($2::bigint IS NULL OR t.at >= $2) AND ($3::text[] IS NULL OR i.stream = ANY ($3))
        AND ($4::text IS NULL OR r.owner = $4) AND ($5::bytea IS NULL OR position($5 IN r.doc) > 0)
    ORDER BY t.id DESC
    LIMIT $6
)
SELECT id, inc, origin, turn_id, doc FROM found ORDER BY ts_rank(words, $1::text::tsquery) DESC, id DESC
