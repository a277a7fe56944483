-- The texts of questions, and the last answer of each.
SELECT q.id, q.content, q.sealed, a.seq, a.content, a.sealed
FROM texts q LEFT JOIN LATERAL (
    SELECT seq, content, sealed FROM texts
    WHERE inc = q.inc AND turn_id = q.turn_id AND role = 'assistant'
    ORDER BY seq DESC LIMIT 1
) AS a ON true
WHERE q.id = ANY ($1::bigint[])
