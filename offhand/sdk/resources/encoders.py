"""`client.encoders`: encoders, trained for a generator, which make inversion quicker and better."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offhand.documents import Encoder, Job
from offhand.sdk.connection import given
from offhand.sdk.resources.uploads import UploadingResource


class Encoders(UploadingResource):
    """Trained encoders."""

    path = "/v1/encoders"

    def list(self) -> Iterator[Encoder]:
        """Yield encoders, newest first, each with its report."""
        return self._connection.pages(Encoder, self.path)

    def get(self, encoder_id: str) -> Encoder:
        """Return one encoder."""
        return self._connection.get(Encoder, self._at(encoder_id))

    def train(self, generator: str, labels: str | Path | None = None, **settings: Any) -> Job:
        """Start the job that trains an encoder and return it.

        ``labels``: an id, or a path, which is uploaded first; for an encoder that learns from labelled images
        (``train_on="labels"`` or ``"both"``).
        """
        source = None if labels is None else self._uploads.id_of(labels)
        return self._connection.send(
            Job, "POST", self.path, given({"generator": generator, "labels": source, **settings})
        )

    def add(self, source: str | Path, generator: str, **settings: Any) -> Job:
        """Start the job that imports a published encoder (ReStyle, pSp, e4e) for a generator and return it.

        ``source``: a file, which is uploaded first, an upload's id, or a URL. ``heads``: "psp" or "e4e", where the file
        does not state its type.
        """
        if Path(source).is_file():
            source = self._uploads.create_checkpoint(source)["id"]
        body = {"source": str(source), "generator": generator} | given(settings)
        return self._connection.send(Job, "POST", f"{self.path}/imports", body)

    def picture(self, encoder_id: str) -> bytes:
        """Return a PNG of images, each beside its reconstructions."""
        return self._connection.content(self.get(encoder_id)["pictures"][0]["url"])
