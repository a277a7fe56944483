-- The last messages of an incarnation up to a number, and then of its bases, newest first.
WITH RECURSIVE view AS (
    SELECT 0 AS depth, id AS inc, $2::bigint AS last, base, base_seq, coalesce(sealed_as, epoch) AS origin, epoch
    FROM incarnations WHERE id = $1
    UNION ALL
    SELECT depth + 1, i.id, view.base_seq, i.base, i.base_seq, coalesce(i.sealed_as, i.epoch), i.epoch
    FROM view JOIN incarnations i ON i.id = view.base
)
SELECT t.turn_id, t.role, t.content, t.sealed, t.at, t.seq, view.epoch, view.origin
FROM view CROSS JOIN LATERAL (
    SELECT * FROM texts WHERE inc = view.inc AND seq <= view.last ORDER BY seq DESC LIMIT (SELECT $3::bigint)
) AS t
ORDER BY view.depth, t.seq DESC
LIMIT $3
