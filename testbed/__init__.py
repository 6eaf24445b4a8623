"""A small world with exact ground truth, and what is measured in it."""
