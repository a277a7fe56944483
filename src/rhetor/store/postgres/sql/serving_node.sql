-- Another node whose lease has not ended.
SELECT name, address, extract(epoch FROM least(expires_at, clock_timestamp() + interval '1 day') - clock_timestamp())::float
FROM nodes
WHERE name <> $1 AND expires_at > clock_timestamp()
ORDER BY expires_at DESC
LIMIT 1
