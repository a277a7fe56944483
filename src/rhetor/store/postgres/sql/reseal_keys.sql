SELECT scope, key, fingerprint, result FROM keys WHERE (scope, key) > ($2, $3) ORDER BY scope, key LIMIT (SELECT $1::bigint)
