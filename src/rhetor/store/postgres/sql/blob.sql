SELECT content FROM blobs WHERE id = $1
