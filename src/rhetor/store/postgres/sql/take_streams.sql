-- Give the streams of node $2 to node $1. The present ones.
WITH taken AS (UPDATE incarnations SET node = $1 WHERE node = $2 RETURNING stream, present)
SELECT stream FROM taken WHERE present
