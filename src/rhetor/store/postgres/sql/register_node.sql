-- Begin a life of a node: whoever used its name before loses the right to commit.
INSERT INTO nodes (name) VALUES ($1)
ON CONFLICT (name) DO UPDATE SET fence = nodes.fence + 1, expires_at = 'infinity'
RETURNING id, fence, commits
