DELETE FROM rows r USING unnest($1::text[], $2::text[]) AS dropped (kind, id)
WHERE r.kind = dropped.kind AND r.id = dropped.id
