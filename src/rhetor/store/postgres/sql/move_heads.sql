-- Move the heads of incarnations. How many of them were where they were thought to be, and may be written by node
-- $5.
WITH moved AS (
    UPDATE incarnations i SET head = m.head, bytes = i.bytes + m.bytes
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS m (id, head, bytes, before)
    WHERE i.id = m.id AND i.present AND i.head = m.before AND (i.node IS NULL OR i.node = $5)
    RETURNING i.id
)
SELECT count(*) FROM moved
