-- The time of the oldest event with which a stream begins.
SELECT min(first.at)
FROM incarnations i
CROSS JOIN LATERAL (
    SELECT at FROM events WHERE inc = i.id AND seq >= i.earliest ORDER BY seq LIMIT 1
) AS first
WHERE i.present AND i.stream <> $1 AND NOT starts_with(i.stream, $1 || ':')
