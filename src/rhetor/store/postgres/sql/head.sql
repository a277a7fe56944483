-- The current incarnation of a stream.
SELECT i.id, i.stream, i.epoch, i.head, i.earliest, i.sealed_as, b.stream, b.epoch, i.base_seq, i.node
FROM incarnations i LEFT JOIN incarnations b ON b.id = i.base
WHERE i.stream = $1 AND i.present
