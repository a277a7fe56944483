INSERT INTO incarnations (id, stream, epoch, present, head, bytes, base, base_seq, node)
SELECT * FROM unnest(
    $1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[]
)
