-- Streams in new epochs. Their content stays sealed for the earlier ones.
UPDATE incarnations i SET sealed_as = coalesce(i.sealed_as, i.epoch), epoch = w.epoch
FROM unnest($1::bigint[], $2::text[]) AS w (id, epoch)
WHERE i.id = w.id
