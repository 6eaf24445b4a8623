"""An endless, seeded stream of labelled samples, and which of them to keep."""
