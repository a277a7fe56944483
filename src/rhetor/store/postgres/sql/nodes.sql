SELECT name, address, extract(epoch FROM expires_at - clock_timestamp())::float,
    refused
FROM nodes
WHERE expires_at < 'infinity'
ORDER BY expires_at DESC, name
