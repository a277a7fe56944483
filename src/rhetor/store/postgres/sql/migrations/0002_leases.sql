-- address: where other nodes reach a node, as HOST:PORT. refused: how many writes of the node came too late.
ALTER TABLE nodes ADD COLUMN address text NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN refused bigint NOT NULL DEFAULT 0;
