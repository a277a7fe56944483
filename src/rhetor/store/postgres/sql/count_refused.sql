-- Count writes of a node that has lost its lease.
UPDATE nodes SET refused = refused + $2 WHERE id = $1
