INSERT INTO keys (scope, key, fingerprint, result, epoch, first, last, at)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[]
)
