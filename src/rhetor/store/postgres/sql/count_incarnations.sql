-- Where the events of copied incarnations end, and about how many bytes they take.
UPDATE incarnations i
SET head = greatest(i.earliest - 1, coalesce(e.last, 0)), bytes = coalesce(e.bytes, 0)
FROM incarnations own
LEFT JOIN (SELECT inc, max(seq) AS last, sum(length(data) + 80) AS bytes FROM events GROUP BY inc) e
    ON e.inc = own.id
WHERE i.id = own.id
