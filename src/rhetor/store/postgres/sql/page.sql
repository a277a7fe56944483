-- Events of an incarnation after a number. A page ends with the event whose payload reaches $4 bytes in all.
SELECT seq, at, type, turn_id, step, data
FROM (
    SELECT *, sum(octet_length(data)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before
    FROM events WHERE inc = $1 AND seq > $2 ORDER BY seq LIMIT $3
) AS e
WHERE before < $4
ORDER BY seq
