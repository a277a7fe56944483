UPDATE incarnations SET present = false WHERE stream = ANY ($1::text[]) AND present
