DELETE FROM texts WHERE inc IN (SELECT id FROM incarnations WHERE stream = $1)
