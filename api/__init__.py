"""The HTTP service: says over HTTP what the store remembers. Runs nothing itself, imports no torch."""
