SELECT parent, count(*) FROM rows WHERE kind = $1 AND owner = $2 AND state = ANY ($3::text[]) GROUP BY parent
