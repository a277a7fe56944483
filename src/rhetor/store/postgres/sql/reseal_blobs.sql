-- The next blob in the order of ids: one at a time, because they are large.
SELECT id, content FROM blobs WHERE $1::int > 0 AND id > $2 ORDER BY id LIMIT 1 FOR UPDATE
