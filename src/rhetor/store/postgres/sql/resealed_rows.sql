UPDATE rows SET doc = $3 WHERE kind = $1 AND id = $2
