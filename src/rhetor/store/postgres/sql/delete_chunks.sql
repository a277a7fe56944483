-- Delete the answer chunks of a turn that one folded event replaces. Their number and size.
WITH deleted AS (
    DELETE FROM events WHERE inc = $1 AND seq BETWEEN $2 AND $3 AND type = 'output.delta'
    RETURNING octet_length(data) AS size
)
SELECT count(*), coalesce(sum(size), 0)::bigint FROM deleted
