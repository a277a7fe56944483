-- Rows of which only the documents change.
UPDATE rows r SET doc = w.doc, version = w.version
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[]) AS w (kind, id, doc, version)
WHERE r.kind = w.kind AND r.id = w.id
