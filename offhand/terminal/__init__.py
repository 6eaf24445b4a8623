"""Input and output of the command line: options, tables, progress, output, exit codes."""
