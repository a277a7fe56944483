-- The beginning of the last message of each stream, also in its bases.
WITH RECURSIVE view AS (
    SELECT stream, 0 AS depth, id AS inc, 9223372036854775807 AS last, base, base_seq,
        coalesce(sealed_as, epoch) AS origin
    FROM incarnations WHERE stream = ANY ($1::text[]) AND present
    UNION ALL
    SELECT view.stream, depth + 1, i.id, view.base_seq, i.base, i.base_seq, coalesce(i.sealed_as, i.epoch)
    FROM view JOIN incarnations i ON i.id = view.base
)
SELECT DISTINCT ON (view.stream) view.stream, view.origin, t.seq, t.sealed,
    CASE WHEN t.sealed THEN t.content ELSE substr(t.content, 1, $2) END
FROM view CROSS JOIN LATERAL (
    SELECT * FROM texts WHERE inc = view.inc AND seq <= view.last ORDER BY seq DESC LIMIT 1
) AS t
ORDER BY view.stream, view.depth
