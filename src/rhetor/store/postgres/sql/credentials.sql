SELECT kind, id, doc FROM rows WHERE kind = ANY ($1::text[]) ORDER BY kind, id FOR UPDATE
