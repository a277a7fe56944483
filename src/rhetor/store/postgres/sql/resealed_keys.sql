UPDATE keys SET fingerprint = $3, result = $4 WHERE scope = $1 AND key = $2
