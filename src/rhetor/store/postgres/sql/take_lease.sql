-- Begin a life of a node, for so many seconds: whoever used its name before loses the right to commit.
INSERT INTO nodes (name, address, expires_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE
SET fence = nodes.fence + 1, address = excluded.address, expires_at = excluded.expires_at
RETURNING id, fence, commits
