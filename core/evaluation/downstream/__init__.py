"""Nets trained on a dataset, as its buyer would train them."""
