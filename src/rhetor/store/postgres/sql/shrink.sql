UPDATE incarnations SET bytes = greatest(0, bytes - $2) WHERE id = $1
