"""`client.generators`: image generators of the service, and imports of checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from offhand.documents import CatalogueEntry, Document, Generator, Job
from offhand.sdk.connection import given
from offhand.sdk.resources.uploads import UploadingResource


class Generators(UploadingResource):
    """Frozen image generators."""

    path = "/v1/generators"

    def list(self) -> Iterator[Generator]:
        """Yield generators, newest first."""
        return self._connection.pages(Generator, self.path)

    def get(self, name_or_id: str) -> Generator:
        """Return one generator."""
        return self._connection.get(Generator, self._at(name_or_id))

    def catalogue(self) -> Iterator[CatalogueEntry]:
        """Yield public checkpoints that can be imported by name."""
        return self._connection.pages(CatalogueEntry, "/v1/catalogue")

    def add(self, source: str | Path, name: str, **settings: Any) -> Job:
        """Start the job that imports a checkpoint as the generator ``name`` and return it.

        ``source``: a file or folder, which is uploaded first, an upload's id, a URL, or a name of :meth:`catalogue`.
        """
        if Path(source).exists():
            source = self._uploads.create_checkpoint(source)["id"]
        body = {"source": str(source), "name": name} | given(settings)
        return self._connection.send(Job, "POST", self.path, body)

    def prepare(self, name_or_id: str, **settings: Any) -> Job:
        """Start the job that trains a perceptual network and an encoder for a generator and return it.

        Both become the generator's defaults. ``settings``: fields of the request, such as ``encoder_steps=3000`` or
        ``encoder=False``.
        """
        return self._connection.send(Job, "POST", self._at(name_or_id, "preparation"), given(settings))

    def assess(self, name_or_id: str, images: str, **settings: Any) -> Job:
        """Start the job that compares samples with the held-out part of an image set and return it."""
        return self._connection.send(Job, "POST", self._at(name_or_id, "reports"), {"images": images} | given(settings))

    def report(self, name_or_id: str) -> Document:
        """Return distances, classes and memorisation of the newest quality report."""
        return self._connection.get(Document, self._at(name_or_id, "report.json"))

    def report_file(self, name_or_id: str, kind: Literal["html", "png"]) -> bytes:
        """Return the newest quality report as an HTML page, or its samples as a PNG."""
        return self._connection.content(self._at(name_or_id, "report" if kind == "html" else f"report.{kind}"))

    def train(self, images: str, name: str, **settings: Any) -> Job:
        """Start the job that trains the generator ``name`` on an image set, by its name or id, and return it.

        ``settings``: fields of the request, such as ``kimg`` or ``hours``, ``preset``, ``settings``, ``generator`` (to
        train on from) and ``seed``.
        """
        body = {"images": images, "name": name} | given(settings)
        return self._connection.send(Job, "POST", f"{self.path}/trainings", body)

    def training(self, name_or_id: str) -> Document:
        """Return the report of a training: settings, curves, warnings, quality."""
        return self._connection.get(Document, self._at(name_or_id, "training"))

    def samples(self, name_or_id: str) -> bytes:
        """Return a PNG of samples at the training's last point."""
        return self._connection.content(self._at(name_or_id, "samples"))

    def curves(self, name_or_id: str) -> bytes:
        """Return a PNG of the training's curves."""
        return self._connection.content(self._at(name_or_id, "curves"))

    def preview(self, name_or_id: str) -> bytes:
        """Return a PNG of an imported generator's samples."""
        return self._connection.content(self._at(name_or_id, "preview"))

    def delete(self, name_or_id: str) -> None:
        """Delete an imported generator. Labelers and datasets made with it stay."""
        self._connection.request("DELETE", self._at(name_or_id))
