UPDATE rows r
SET state = w.state, doc = w.doc, owner = w.owner, parent = w.parent, name = w.name, at = w.at,
    version = w.version
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[]
) AS w (kind, id, state, doc, owner, parent, name, at, version)
WHERE r.kind = w.kind AND r.id = w.id
