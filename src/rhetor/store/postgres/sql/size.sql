-- About how many bytes everything takes. What the database keeps for new events is not counted.
SELECT (SELECT coalesce(sum(bytes), 0) FROM incarnations)::bigint
    + pg_total_relation_size('texts') + pg_total_relation_size('rows') + pg_total_relation_size('keys')
    + pg_total_relation_size('blobs')
