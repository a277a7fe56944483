-- Let no other node renew a lease that has ended.
UPDATE nodes SET fence = fence + 1 WHERE name <> $1 AND expires_at < 'infinity'
