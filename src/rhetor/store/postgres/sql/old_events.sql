-- The streams that begin with events from before a time, each with the number of the first event to keep.
SELECT i.stream, coalesce(kept.seq, i.head + 1)
FROM incarnations i
CROSS JOIN LATERAL (
    SELECT at FROM events WHERE inc = i.id AND seq >= i.earliest ORDER BY seq LIMIT 1
) AS first
LEFT JOIN LATERAL (
    SELECT seq FROM events WHERE inc = i.id AND seq >= i.earliest AND at >= $1 ORDER BY seq LIMIT 1
) AS kept ON true
WHERE i.present AND first.at < $1
