-- The incarnations with these epochs, from which others are to continue.
SELECT i.id, i.stream, i.epoch, i.head, i.earliest, i.sealed_as, b.stream, b.epoch, i.base_seq, i.node
FROM incarnations i LEFT JOIN incarnations b ON b.id = i.base
WHERE i.epoch = ANY ($1::text[])
