-- Keep binary content, and note the key with which it is sealed, if it is.
WITH noted AS (
    INSERT INTO seals (key) SELECT $4::bytea WHERE $4::bytea IS NOT NULL ON CONFLICT DO NOTHING
)
INSERT INTO blobs (id, content, at) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET at = excluded.at
