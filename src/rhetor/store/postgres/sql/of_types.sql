-- Events of some types, of all streams and all their incarnations.
SELECT coalesce(i.sealed_as, i.epoch), i.stream, i.epoch, e.seq, e.at, e.type, e.turn_id, e.step, e.data
FROM events e JOIN incarnations i ON i.id = e.inc
WHERE (e.inc, e.seq) > ($2, $3) AND e.seq >= i.earliest AND e.type = ANY ($1::text[])
ORDER BY e.inc, e.seq
LIMIT $4
