DELETE FROM seals WHERE key = ANY ($1::bytea[])
