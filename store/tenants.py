"""Whose things are whose."""

#: The one tenant of a service without keys, the embedded one included.
LOCAL = "local"
