-- Ids of new incarnations.
SELECT nextval('incarnation_ids') FROM generate_series(1, $1::int)
