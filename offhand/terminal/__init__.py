"""What the command line reads and prints: options, tables, progress, output, exit codes."""
