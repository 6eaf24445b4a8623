"""Commands of `offhand` that have commands of their own, one file a noun."""
