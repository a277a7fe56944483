-- What the turns of streams have reported to have used.
SELECT i.stream, coalesce(i.sealed_as, i.epoch), e.seq, e.data
FROM incarnations i JOIN events e ON e.inc = i.id AND e.seq >= i.earliest
WHERE i.stream = ANY ($1::text[]) AND e.type = 'usage.reported'
