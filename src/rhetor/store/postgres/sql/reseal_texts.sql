SELECT t.id, coalesce(i.sealed_as, i.epoch), t.seq, t.sealed, t.content
FROM texts t JOIN incarnations i ON i.id = t.inc
WHERE t.id > $2 ORDER BY t.id LIMIT (SELECT $1::bigint)
