-- How many transactions a node has committed.
SELECT commits FROM nodes WHERE id = $1
