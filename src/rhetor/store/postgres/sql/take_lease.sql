-- Begin a life of a node, for so many seconds: whoever used its name before loses the right to commit.
INSERT INTO nodes (name, address, expires_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE
SET fence = nodes.fence + 1, address = excluded.address, expires_at = excluded.expires_at, taken_over = false,
    since = CASE WHEN nodes.expires_at > clock_timestamp() THEN nodes.since ELSE clock_timestamp() END
RETURNING id, fence, commits
