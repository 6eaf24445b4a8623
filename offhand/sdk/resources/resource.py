"""The base of all resources."""

from typing import ClassVar
from urllib.parse import quote

from offhand.sdk.connection import Connection


class Resource:
    """The requests about one noun of the service; ``path`` is where the service lists it."""

    path: ClassVar[str]

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _at(self, *parts: str) -> str:
        """Return the path below the list, with ids and names quoted."""
        return "/".join([self.path, *(quote(part, safe="") for part in parts)])
