SELECT seq, at, type, turn_id, step, data FROM events
WHERE inc = $1 AND seq >= $2 AND turn_id = $3
ORDER BY seq
