SELECT kind, id, state, doc, owner, parent, name, at, version FROM rows
WHERE kind = $1 AND ($2::text[] IS NULL OR state = ANY ($2)) AND ($3::text IS NULL OR owner = $3)
    AND ($4::text IS NULL OR parent = $4) AND ($5::text IS NULL OR name = $5)
ORDER BY at DESC, id DESC
LIMIT $6
