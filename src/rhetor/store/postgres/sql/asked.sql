-- The place of a turn's question among all, by the stream that the turn's row names.
SELECT q.at, q.id FROM rows r JOIN incarnations i ON i.stream = r.parent
JOIN texts q ON q.inc = i.id AND q.turn_id = r.id AND q.role <> 'assistant'
WHERE r.kind = 'turn' AND r.id = $1
LIMIT 1
