-- Let nodes whose leases have ended commit no more. A node that commits at this moment is left for the next time.
UPDATE nodes n SET fence = n.fence + 1, taken_over = true
FROM (
    SELECT id FROM nodes WHERE NOT taken_over AND expires_at <= clock_timestamp() ORDER BY id FOR UPDATE SKIP LOCKED
) AS dead
WHERE n.id = dead.id
RETURNING n.id, n.name, n.fence - 1
