DELETE FROM events WHERE inc IN (SELECT id FROM incarnations WHERE stream = $1)
