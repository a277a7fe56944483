-- Where the other nodes are whose leases have not ended.
SELECT address FROM nodes WHERE id <> $1 AND expires_at > clock_timestamp() AND address <> '' ORDER BY address
