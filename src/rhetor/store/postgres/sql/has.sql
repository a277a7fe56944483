SELECT EXISTS (SELECT FROM rows WHERE kind = $1 AND parent = $2 AND state = ANY ($3::text[]))
