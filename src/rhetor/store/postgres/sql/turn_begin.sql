-- The number of a turn's question.
SELECT min(seq) FROM texts WHERE inc = $1 AND turn_id = $2 AND role <> 'assistant'
