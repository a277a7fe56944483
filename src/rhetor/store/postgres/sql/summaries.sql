-- For each stream: how many messages it has, the beginning of its first question, and whether no event is gone.
WITH RECURSIVE view AS (
    SELECT stream, 0 AS depth, id AS inc, 9223372036854775807 AS last, base, base_seq,
        coalesce(sealed_as, epoch) AS origin
    FROM incarnations WHERE stream = ANY ($1::text[]) AND present
    UNION ALL
    SELECT view.stream, depth + 1, i.id, view.base_seq, i.base, i.base_seq, coalesce(i.sealed_as, i.epoch)
    FROM view JOIN incarnations i ON i.id = view.base
), counted AS (
    SELECT view.stream, count(DISTINCT (t.turn_id, t.role)) AS messages
    FROM view JOIN texts t ON t.inc = view.inc AND t.seq <= view.last
    GROUP BY view.stream
), asked AS (
    SELECT DISTINCT ON (view.stream) view.stream, view.origin, t.seq, t.sealed,
        CASE WHEN t.sealed THEN t.content ELSE substr(t.content, 1, $2) END AS content
    FROM view JOIN texts t ON t.inc = view.inc AND t.seq <= view.last
    WHERE t.role <> 'assistant'
    ORDER BY view.stream, view.depth DESC, t.seq
)
SELECT i.stream, coalesce(counted.messages, 0), asked.origin, asked.seq, asked.sealed, asked.content,
    (SELECT max(earliest) = 1 FROM incarnations WHERE stream = i.stream)
FROM incarnations i LEFT JOIN counted USING (stream) LEFT JOIN asked USING (stream)
WHERE i.stream = ANY ($1::text[]) AND i.present
