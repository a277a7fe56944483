SELECT name, address, extract(epoch FROM least(expires_at, clock_timestamp() + interval '1 day') - clock_timestamp())::float,
    refused
FROM nodes
ORDER BY expires_at DESC, name
