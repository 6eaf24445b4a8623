"""What the service costs beside the work it spreads; `python -m benchmarks.jobs --help`."""
