"""Numbers of candidates that the planning of a job and the library share."""

PILOT = 1000
"""Candidates after which something that none of them shows counts as never drawn."""
