SELECT r.kind, r.id, r.state, r.doc, r.owner, r.parent, r.name, r.at, r.version
FROM unnest($1::text[], $2::text[]) AS wanted (kind, id)
JOIN rows AS r ON r.kind = wanted.kind COLLATE "C" AND r.id = wanted.id COLLATE "C"
