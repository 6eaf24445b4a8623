"""Runs jobs: a supervisor claims shards and keeps their leases, a child process owns torch and does the work."""
