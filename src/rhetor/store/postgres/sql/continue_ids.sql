-- Let new ids follow the copied ones.
SELECT setval('incarnation_ids', coalesce(max(id), 0) + 1, false),
    (SELECT setval(pg_get_serial_sequence('texts', 'id'), coalesce(max(id), 0) + 1, false) FROM texts)
FROM incarnations
