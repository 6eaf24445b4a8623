"""Jobs, their steps and shards: the rows that are the truth about work."""
