-- The events that name the models of turns. Of a turn without an answer, they are among the next 10,000.
SELECT q.number, coalesce(i.sealed_as, i.epoch), e.seq, e.type, e.data
FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS q (inc, turn_id, number)
JOIN incarnations i ON i.id = q.inc
CROSS JOIN LATERAL (
    SELECT min(seq) AS first, max(seq) + CASE WHEN count(*) > 1 THEN 0 ELSE 10000 END AS last
    FROM texts WHERE inc = q.inc AND turn_id = q.turn_id
) AS said
JOIN events e ON e.inc = q.inc AND e.seq BETWEEN said.first AND said.last AND e.turn_id = q.turn_id
    AND e.type IN ('turn.started', 'usage.reported')
ORDER BY q.number, e.seq
