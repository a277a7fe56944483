-- Delete some of the events that a truncation has hidden. The number and size of those that were deleted.
WITH hidden AS (
    SELECT seq FROM events WHERE inc = $1 AND seq < $2 ORDER BY seq LIMIT (SELECT $3::bigint)
), deleted AS (
    DELETE FROM events WHERE inc = $1 AND seq IN (SELECT seq FROM hidden) RETURNING octet_length(data) AS size
)
SELECT count(*), coalesce(sum(size), 0)::bigint FROM deleted
