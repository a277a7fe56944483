-- Rows, locked in the order of their keys; the documents of some.
SELECT r.kind, r.id, r.state, r.version, r.owner, r.name, CASE WHEN wanted.with_doc THEN r.doc END
FROM rows r JOIN unnest($1::text[], $2::text[], $3::boolean[]) AS wanted (kind, id, with_doc) USING (kind, id)
ORDER BY r.kind, r.id
FOR UPDATE OF r
