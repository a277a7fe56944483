SELECT id, name FROM nodes WHERE id = ANY ($1::bigint[])
