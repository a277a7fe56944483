INSERT INTO meta (key, value) VALUES ('history ' || lpad($1::bigint::text, 6, '0'), $2)
