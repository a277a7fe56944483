SELECT 1 FROM nodes WHERE id = $1 AND fence = $2 AND expires_at > clock_timestamp()
