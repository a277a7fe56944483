INSERT INTO rows (kind, id, state, doc, owner, parent, name, at, version)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[]
)
