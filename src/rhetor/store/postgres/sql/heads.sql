-- Where streams end.
SELECT stream, epoch, head, earliest FROM incarnations WHERE stream = ANY ($1::text[]) AND present
