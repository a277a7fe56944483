SELECT id FROM blobs WHERE at < $1 ORDER BY id
