UPDATE events SET data = $3 WHERE inc = $1 AND seq = $2
