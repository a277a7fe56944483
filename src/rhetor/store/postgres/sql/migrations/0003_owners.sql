-- node: the only one that may write a stream; NULL: every node may.
ALTER TABLE incarnations ADD COLUMN node bigint;
CREATE INDEX incarnations_node ON incarnations (node) WHERE node IS NOT NULL;

-- since: when a node got the lease that it has had ever since. taken_over: another node has its streams now.
ALTER TABLE nodes ADD COLUMN since timestamptz NOT NULL DEFAULT clock_timestamp();
ALTER TABLE nodes ADD COLUMN taken_over boolean NOT NULL DEFAULT false;
