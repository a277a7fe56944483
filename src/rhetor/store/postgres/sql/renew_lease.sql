-- Let a lease end so many seconds from now, if no other node has taken it.
UPDATE nodes SET expires_at = clock_timestamp() + make_interval(secs => $3) WHERE id = $1 AND fence = $2
