-- Give the sessions and plans that no node owns to a node: those of a log that was copied, or is older than owners.
UPDATE incarnations SET node = $1
WHERE present AND node IS NULL AND stream >= 'p_' AND stream < 't' AND left(stream, 2) IN ('p_', 's_')
RETURNING stream
