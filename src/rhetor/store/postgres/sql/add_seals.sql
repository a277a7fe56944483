INSERT INTO seals (key) SELECT * FROM unnest($1::bytea[]) ON CONFLICT DO NOTHING
