INSERT INTO meta (key, value) VALUES ('sealed', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value
