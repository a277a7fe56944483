UPDATE keys k SET epoch = w.renewed
FROM unnest($1::text[], $2::text[]) AS w (epoch, renewed)
WHERE k.epoch = w.epoch
