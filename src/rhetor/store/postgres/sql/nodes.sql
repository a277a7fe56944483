-- The nodes that are live or have been, and how many sessions and plans each owns.
SELECT n.name, n.address, extract(epoch FROM n.expires_at - clock_timestamp())::float, n.refused,
    (SELECT count(*) FROM incarnations i WHERE i.node = n.id AND i.present)
FROM nodes n
WHERE n.expires_at < 'infinity'
ORDER BY n.expires_at > clock_timestamp() DESC, n.since, n.name
