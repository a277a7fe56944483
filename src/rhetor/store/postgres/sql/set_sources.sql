INSERT INTO sources (source, bytes) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (source) DO UPDATE SET bytes = excluded.bytes
