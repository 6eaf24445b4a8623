"""`client.labelers`: trained label generators and their reports."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from offhand.documents import Document, Job, Labeler
from offhand.sdk.connection import given
from offhand.sdk.resources.uploads import UploadingResource


class Labelers(UploadingResource):
    """Trained labelers."""

    path = "/v1/labelers"

    def list(self) -> Iterator[Labeler]:
        """Yield labelers, newest first."""
        return self._connection.pages(Labeler, self.path)

    def get(self, labeler_id: str) -> Labeler:
        """Return one labeler."""
        return self._connection.get(Labeler, self._at(labeler_id))

    def train(self, labels: str | Path, generator: str, **settings: Any) -> Job:
        """Start the job that trains a labeler and assesses it by cross-validation; return the job.

        ``labels``: an id, or a path, which is uploaded first.
        """
        body = {"labels": self._uploads.id_of(labels), "generator": generator} | given(settings)
        return self._connection.send(Job, "POST", self.path, body)

    def assess(self, labeler_id: str, folds: int | None = None) -> Job:
        """Start the job that assesses a labeler by cross-validation in ``folds`` parts and return it."""
        return self._connection.send(Job, "POST", self._at(labeler_id, "reports"), given({"folds": folds}))

    def report(self, labeler_id: str) -> Document:
        """Return scores, rejection curve and reliability of the newest report."""
        return self._connection.get(Document, self._at(labeler_id, "report.json"))

    def report_file(self, labeler_id: str, kind: Literal["html", "png"]) -> bytes:
        """Return the newest report as an HTML page or a PNG."""
        name = "report" if kind == "html" else f"report.{kind}"
        return self._connection.content(self._at(labeler_id, name))
