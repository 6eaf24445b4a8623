"""`client.evaluations`: datasets measured on held-out labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offhand.documents import Document, Evaluation, Job
from offhand.sdk.connection import given
from offhand.sdk.resources.uploads import UploadingResource


class Evaluations(UploadingResource):
    """Evaluations of datasets. The id of an evaluation is that of its job."""

    path = "/v1/evaluations"

    def list(self, dataset_id: str | None = None) -> Iterator[Evaluation]:
        """Yield evaluations, of one dataset or of all, newest first."""
        return self._connection.pages(Evaluation, self.path, dataset=dataset_id)

    def get(self, evaluation_id: str) -> Evaluation:
        """Return one evaluation."""
        return self._connection.get(Evaluation, self._at(evaluation_id))

    def create(
        self, dataset_id: str, labels: str | Path, generated_labels: str | Path | None = None, **settings: Any
    ) -> Job:
        """Start the job that evaluates a dataset on held-out labels and return it.

        ``labels``: an id, or a path, which is uploaded first. ``generated_labels``: images of the dataset itself,
        labelled by people, for one more comparison.
        """
        sources = {"labels": labels} | given({"generated_labels": generated_labels})
        body = {name: self._uploads.id_of(source) for name, source in sources.items()}
        return self._connection.send(Job, "POST", self.path, {"dataset": dataset_id} | body | given(settings))

    def report(self, evaluation_id: str) -> Document:
        """Return verdict, gates, scores and statistics of a finished evaluation."""
        return self._connection.get(Document, self._at(evaluation_id, "report.json"))

    def report_page(self, evaluation_id: str) -> bytes:
        """Return the report of a finished evaluation as an HTML page."""
        return self._connection.content(self._at(evaluation_id, "report"))
