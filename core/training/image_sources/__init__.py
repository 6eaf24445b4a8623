"""Streams of photographs from folders and untrusted files: archives, WebDataset, parquet."""
