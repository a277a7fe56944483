UPDATE incarnations i SET head = m.head, bytes = i.bytes + m.bytes
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS m (id, head, bytes)
WHERE i.id = m.id
