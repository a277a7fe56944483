-- The current incarnations of streams, locked in the order of their names.
SELECT i.id, i.stream, i.epoch, i.head, i.earliest, i.sealed_as, b.stream, b.epoch, i.base_seq, i.node
FROM incarnations i LEFT JOIN incarnations b ON b.id = i.base
WHERE i.stream = ANY ($1::text[]) AND i.present
ORDER BY i.stream
FOR UPDATE OF i
