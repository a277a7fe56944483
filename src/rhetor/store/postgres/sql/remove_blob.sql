DELETE FROM blobs WHERE id = $1
