"""`client.image_sets`: unlabelled images that generators are trained on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offhand.documents import Document, ImageSet, Job
from offhand.sdk.connection import given
from offhand.sdk.resources.uploads import UploadingResource


class ImageSets(UploadingResource):
    """Photographs, packed at one size."""

    path = "/v1/image-sets"

    def list(self) -> Iterator[ImageSet]:
        """Yield image sets, newest first."""
        return self._connection.pages(ImageSet, self.path)

    def get(self, name_or_id: str) -> ImageSet:
        """Return one image set."""
        return self._connection.get(ImageSet, self._at(name_or_id))

    def add(self, source: str | Path, name: str, *, height: int, width: int, **settings: Any) -> Job:
        """Start the job that packs photographs as the image set ``name`` and return it.

        ``source``: an archive, a parquet file or a folder, which is uploaded first, or an upload's id. ``settings``:
        fields of the request, such as ``fit``, ``flips``, ``licence``.
        """
        if Path(source).exists():
            source = self._uploads.create_images(source)["id"]
        body = {"source": str(source), "name": name, "height": height, "width": width} | given(settings)
        return self._connection.send(Job, "POST", self.path, body)

    def preview(self, source: str | Path, *, height: int, width: int, **settings: Any) -> Job:
        """Start the job that shows examples under each rule of ``fit`` and return it; nothing is added.

        ``source``: as for :meth:`add`; of a folder some photographs are sent. :meth:`preview_picture` returns the PNG.
        """
        if Path(source).exists():
            source = self._uploads.create_examples(source)["id"]
        body = {"source": str(source), "height": height, "width": width} | given(settings)
        return self._connection.send(Job, "POST", self._at("previews"), body)

    def preview_picture(self, job_id: str) -> bytes:
        """Return the PNG that the job of :meth:`preview` has made."""
        return self._connection.content(self._at("previews", job_id))

    def report(self, name_or_id: str) -> Document:
        """Return the report: class counts, unreadable files, copies, warnings, the licence."""
        return self._connection.get(Document, self._at(name_or_id, "report"))

    def contact_sheet(self, name_or_id: str) -> bytes:
        """Return a PNG of some images of each class."""
        return self._connection.content(self._at(name_or_id, "contact-sheet"))

    def rename(self, name_or_id: str, name: str) -> ImageSet:
        """Give an image set another name; refused while a job that names it waits or runs."""
        return self._connection.send(ImageSet, "PATCH", self._at(name_or_id), {"name": name})

    def delete(self, name_or_id: str) -> None:
        """Delete an image set that no waiting or running job needs. Generators trained on it stay."""
        self._connection.request("DELETE", self._at(name_or_id))
