-- What is stored under idempotency keys.
SELECT k.scope, k.key, k.fingerprint, k.epoch, k.first, k.last, k.result
FROM keys k JOIN unnest($1::text[], $2::text[]) AS wanted (scope, key) USING (scope, key)
