-- Append events, and move the heads of their incarnations.
WITH moved AS (
    UPDATE incarnations i SET head = m.head, bytes = i.bytes + m.bytes
    FROM unnest($8::bigint[], $9::bigint[], $10::bigint[]) AS m (id, head, bytes)
    WHERE i.id = m.id
)
INSERT INTO events (inc, seq, at, type, turn_id, step, data)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[])
