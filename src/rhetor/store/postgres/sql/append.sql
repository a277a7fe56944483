-- Append events, and move the heads of their incarnations. How many heads were where they were thought to be, and
-- may be written by node $12.
WITH moved AS (
    UPDATE incarnations i SET head = m.head, bytes = i.bytes + m.bytes
    FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) AS m (id, head, bytes, before)
    WHERE i.id = m.id AND i.present AND i.head = m.before AND (i.node IS NULL OR i.node = $12)
    RETURNING i.id
), added AS (
    INSERT INTO events (inc, seq, at, type, turn_id, step, data)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[])
)
SELECT count(*) FROM moved
