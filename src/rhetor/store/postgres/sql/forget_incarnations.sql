DELETE FROM incarnations WHERE stream = $1
