"""Speed, memory and scale; each prints a table and writes JSON."""
