UPDATE incarnations SET earliest = $2 WHERE id = $1
