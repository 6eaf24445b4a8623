"""The service as Python objects: :class:`offhand.Client`."""
