SELECT bytes FROM sources WHERE source = $1
