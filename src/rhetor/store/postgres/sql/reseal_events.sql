-- The next events in the order of their keys, each with the epoch for which it is sealed.
SELECT e.inc, e.seq, coalesce(i.sealed_as, i.epoch), e.data FROM events e JOIN incarnations i ON i.id = e.inc
WHERE (e.inc, e.seq) > ($2, $3) ORDER BY e.inc, e.seq LIMIT (SELECT $1::bigint)
