-- The nodes that own their streams, the one first that has had its lease for the longest time. The seconds until a
-- lease ends are negative if it has ended.
SELECT id, name, address, fence, (extract(epoch FROM since) * 1000)::bigint,
    extract(epoch FROM expires_at - clock_timestamp())::float
FROM nodes
WHERE NOT taken_over AND expires_at < 'infinity'
ORDER BY since, id
