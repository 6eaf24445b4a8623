"""`client.sample_sets`: images of a generator for people to label."""

from collections.abc import Iterator
from typing import Any

from offhand.documents import Job, SampleSet
from offhand.sdk.connection import given
from offhand.sdk.resources.resource import Resource


class SampleSets(Resource):
    """Drawn images; their labels need no inversion."""

    path = "/v1/sample-sets"

    def list(self) -> Iterator[SampleSet]:
        """Yield sample sets, newest first."""
        return self._connection.pages(SampleSet, self.path)

    def get(self, sample_set_id: str) -> SampleSet:
        """Return one sample set."""
        return self._connection.get(SampleSet, self._at(sample_set_id))

    def draw(self, generator: str, count: int | None = None, **settings: Any) -> Job:
        """Start the job that draws images and return it; its ``result["samples"]`` is the sample set's id.

        ``count``: images; None where ``images_per_class`` is given. ``classes``: of a conditional generator, by index
        or name.
        """
        body = {"generator": generator} | given({"count": count, **settings})
        return self._connection.send(Job, "POST", self.path, body)

    def archive(self, sample_set_id: str) -> bytes:
        """Return a zip of the images, which becomes an archive of labelled images once masks are added."""
        return self._connection.content(self._at(sample_set_id, "archive"))
