"""`client.aliases`: names that point at datasets."""

from collections.abc import Iterator

from offhand.documents import Alias
from offhand.sdk.resources.resource import Resource


class Aliases(Resource):
    """Names such as `latest` that point at a dataset."""

    path = "/v1/dataset-aliases"

    def list(self) -> Iterator[Alias]:
        """Yield every alias, by name."""
        return self._connection.pages(Alias, self.path)

    def get(self, name: str) -> Alias:
        """Return which dataset a name points at, and since when."""
        return self._connection.get(Alias, self._at(name))

    def set(self, name: str, dataset_id: str) -> Alias:
        """Point a name at a dataset that is ready; a new name is created."""
        return self._connection.send(Alias, "PUT", self._at(name), {"dataset": dataset_id})

    def delete(self, name: str) -> None:
        """Delete a name; its dataset stays."""
        self._connection.request("DELETE", self._at(name))
