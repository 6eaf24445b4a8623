"""Networks trained for a frozen generator by the project's own recipes."""
