-- The last events of an incarnation before a number, newest first, from its earliest on.
SELECT seq, at, type, turn_id, step, data
FROM (
    SELECT *, sum(octet_length(data)) OVER (ORDER BY seq DESC ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before
    FROM events WHERE inc = $1 AND seq < $2 AND seq >= $5 ORDER BY seq DESC LIMIT (SELECT $3::bigint)
) AS e
WHERE before < $4
ORDER BY seq DESC
