-- The nodes that own streams. A stream that every node may write is left out.
SELECT i.stream, n.name FROM incarnations i JOIN nodes n ON n.id = i.node
WHERE i.stream = ANY ($1::text[]) AND i.present
