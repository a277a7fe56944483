-- The event with a number, or the first one after it.
SELECT seq, at, type, turn_id, step, data FROM events WHERE inc = $1 AND seq >= $2 ORDER BY seq LIMIT 1
