SELECT t.id, i.stream, i.epoch, t.seq, t.turn_id, t.role, t.content, t.sealed, t.at, coalesce(i.sealed_as, i.epoch)
FROM texts t JOIN incarnations i ON i.id = t.inc WHERE t.id = ANY ($1::bigint[])
