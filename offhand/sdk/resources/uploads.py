"""`client.uploads`: archives of labelled images and checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from offhand.documents import Upload
from offhand.sdk.callbacks import OnBytes
from offhand.sdk.connection import Connection
from offhand.sdk.resources.resource import Resource
from offhand.sdk.uploads import MOST_EXAMPLES, file_or_archive, is_id, upload_archive


class Uploads(Resource):
    """Files that were sent to the service."""

    path = "/v1/uploads"

    def list(self, state: Literal["pending", "complete"] | None = None, sha256: str | None = None) -> Iterator[Upload]:
        """Yield uploads, newest first; ``sha256``: only those of this file."""
        return self._connection.pages(Upload, self.path, state=state, sha256=sha256)

    def get(self, upload_id: str) -> Upload:
        """Return one upload."""
        return self._connection.get(Upload, self._at(upload_id))

    def create(self, labels: str | Path, progress: OnBytes | None = None) -> Upload:
        """Send labelled images, an archive or a folder of `images/`, `masks/`, `classes.json`; return the upload.

        Of a large file only the parts that an earlier try did not send are sent. Raises ClientError where ``labels``
        is neither a file nor a folder.
        """
        with file_or_archive(Path(labels)) as archive:
            return upload_archive(self._connection, archive, progress, "label-set")

    def create_images(self, images: str | Path, progress: OnBytes | None = None) -> Upload:
        """Send photographs without labels, an archive, a parquet file or a folder; return the upload."""
        with file_or_archive(Path(images)) as archive:
            return upload_archive(self._connection, archive, progress, "images")

    def create_examples(self, images: str | Path, progress: OnBytes | None = None) -> Upload:
        """Send some photographs of a folder, spread over the order of their names; an archive as a whole."""
        with file_or_archive(Path(images), MOST_EXAMPLES) as archive:
            return upload_archive(self._connection, archive, progress, "images")

    def create_checkpoint(self, path: str | Path, progress: OnBytes | None = None) -> Upload:
        """Send a checkpoint of a generator (`.pkl`, `.pt`, `.safetensors`), or a folder that holds one with its
        configuration; return the upload.
        """
        with file_or_archive(Path(path)) as file:
            return upload_archive(self._connection, file, progress, "checkpoint")

    def delete(self, upload_id: str) -> None:
        """Delete an upload that no waiting or running job needs. Label sets made from it stay."""
        self._connection.request("DELETE", self._at(upload_id))

    def id_of(self, labels: str | Path) -> str:
        """Return ``labels`` where it is the id of an upload or a label set, else upload the path and return its id."""
        return str(labels) if is_id(labels) else self.create(labels)["id"]


class UploadingResource(Resource):
    """A resource whose requests name files, which are uploaded first where they are paths."""

    def __init__(self, connection: Connection, uploads: Uploads) -> None:
        super().__init__(connection)
        self._uploads = uploads
