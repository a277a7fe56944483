SELECT kind, id, doc FROM rows WHERE (kind, id) > ($2, $3) ORDER BY kind, id LIMIT $1 FOR UPDATE
