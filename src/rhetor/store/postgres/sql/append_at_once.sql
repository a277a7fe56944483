-- Append events, and move the heads of their incarnations, in a transaction of its own. It divides by zero, so that
-- nothing is written, unless node $12 has its fence and its lease, and all heads were where they were thought to be, in
-- streams that it may write. The second column: whether the database has another node, which must be told.
WITH fenced AS (
    UPDATE nodes SET commits = commits + 1
    WHERE id = $12 AND fence = $13 AND expires_at > clock_timestamp()
    RETURNING id
), moved AS (
    UPDATE incarnations i SET head = m.head, bytes = i.bytes + m.bytes
    FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) AS m (id, head, bytes, before)
    WHERE i.id = m.id AND i.present AND i.head = m.before AND (i.node IS NULL OR i.node = $12)
    RETURNING i.id
), added AS (
    INSERT INTO events (inc, seq, at, type, turn_id, step, data)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[])
)
SELECT 1 / ((SELECT count(*) FROM fenced) = 1 AND (SELECT count(*) FROM moved) = cardinality($8::bigint[]))::int,
    EXISTS (SELECT FROM nodes WHERE id <> $12 AND expires_at > clock_timestamp())
