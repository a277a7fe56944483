-- So that a name can move from one row to another in one transaction.
UPDATE rows r SET name = NULL FROM unnest($1::text[], $2::text[]) AS renamed (kind, id)
WHERE r.kind = renamed.kind AND r.id = renamed.id
