"""The documents that requests and answers are made of."""
