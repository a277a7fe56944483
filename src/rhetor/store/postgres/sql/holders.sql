-- Which rows have these names.
SELECT r.kind, r.owner, r.name, r.id
FROM rows r JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (kind, owner, name) USING (kind, owner, name)
