-- Another node whose lease has not ended. Without an end, it is none: a store that was opened by itself.
SELECT name, address, extract(epoch FROM expires_at - clock_timestamp())::float
FROM nodes
WHERE name <> $1 AND expires_at > clock_timestamp() AND expires_at < 'infinity'
ORDER BY expires_at DESC
LIMIT 1
