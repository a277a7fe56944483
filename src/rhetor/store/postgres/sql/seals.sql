SELECT key FROM seals
