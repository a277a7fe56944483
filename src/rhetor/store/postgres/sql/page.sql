-- Events of an incarnation after a number; none if it is not the current one of its stream any more, or if the next
-- events are gone. A page ends with the event whose payload reaches $4 bytes in all.
SELECT seq, at, type, turn_id, step, data
FROM events
WHERE inc = $1 AND seq > $2
    AND EXISTS (SELECT FROM incarnations WHERE id = $1 AND present AND earliest <= $2 + 1)
ORDER BY seq
LIMIT CASE
    WHEN (SELECT bytes FROM incarnations WHERE id = $1) < $4 THEN $3
    WHEN (
        SELECT sum(octet_length(data))
        FROM (SELECT data FROM events WHERE inc = $1 AND seq > $2 ORDER BY seq LIMIT (SELECT $3::bigint)) AS next
    ) < $4 THEN $3
    ELSE (
        SELECT count(*) FROM (
            SELECT sum(octet_length(data)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before
            FROM events WHERE inc = $1 AND seq > $2 ORDER BY seq LIMIT (SELECT $3::bigint)
        ) AS next
        WHERE before < $4
    )
END
