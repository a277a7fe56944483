"""aish: the shell in which every AI is a word of the pipeline. A thin client of the hub."""
