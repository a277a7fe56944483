SELECT id, doc FROM rows
WHERE kind = $1 AND ($2::text IS NULL OR owner = $2) AND ($3::text IS NULL OR parent = $3)
