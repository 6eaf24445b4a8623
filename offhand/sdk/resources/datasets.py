"""`client.datasets`: generate labelled datasets, download and export them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from offhand.documents import Dataset, Document, Estimate, Export, Job
from offhand.errors import ClientError, Refused
from offhand.sdk.callbacks import OnBytes
from offhand.sdk.connection import given
from offhand.sdk.downloads import download_dataset, download_export
from offhand.sdk.exports import Variant, variant_of
from offhand.sdk.resources.uploads import UploadingResource
from offhand.sdk.uploads import is_id

if TYPE_CHECKING:
    from offhand.torch import DatasetStream

#: Stands for labels that are still to be uploaded.
NOT_SENT_YET = "upl_00000000000000000000000000"


class Datasets(UploadingResource):
    """Labelled datasets."""

    path = "/v1/datasets"
    jobs_path: ClassVar[str] = "/v1/jobs"

    def list(self) -> Iterator[Dataset]:
        """Yield datasets, newest first."""
        return self._connection.pages(Dataset, self.path)

    def get(self, dataset_id: str) -> Dataset:
        """Return one dataset. Read ``warnings`` and ``quality`` before its labels are used."""
        return self._connection.get(Dataset, self._at(dataset_id))

    def manifest(self, dataset_id: str) -> Document:
        """Return the manifest: every file with size and SHA-256."""
        return self._connection.get(Document, self._at(dataset_id, "manifest"))

    def statistics(self, dataset_id: str) -> Document:
        """Return the label statistics of a finished dataset (`statistics.json`)."""
        return self._connection.get(Document, self._at(dataset_id, "files", "statistics.json"))

    def generate(self, labels: str | Path, generator: str, count: int, **settings: Any) -> Job:
        """Start the job that generates a dataset of ``count`` images and return it.

        ``labels``: the id of an upload or a label set, or a path, which is uploaded once the rest of the request is
        valid. ``settings``: further fields of the request, such as ``seed=1`` or ``labeler={"members": 5}``; None is
        left out. Raises :class:`~offhand.errors.Refused` with every problem of the request.
        """
        return self._connection.send(Job, "POST", self.jobs_path, self._request(labels, generator, count, settings))

    def estimate(self, labels: str | Path, generator: str, count: int, **settings: Any) -> Estimate:
        """Return what :meth:`generate` would make and how long it would take, without starting it."""
        body = self._request(labels, generator, count, settings)
        return self._connection.send(Estimate, "POST", self.jobs_path, body, params={"validate_only": "true"})

    def check_request(self, generator: str, count: int, **settings: Any) -> None:
        """Raise :class:`~offhand.errors.Refused` for every problem of a request whose labels are not uploaded yet."""
        body = {"kind": "generate", "labels": NOT_SENT_YET, "generator": generator, "count": count} | given(settings)
        try:
            self._connection.send(Estimate, "POST", self.jobs_path, body, params={"validate_only": "true"})
        except Refused as error:
            others = [e for e in error.problem.get("errors", []) if e.get("pointer") != "#/labels"]
            if others or error.status != 422:
                raise Refused(error.problem | {"errors": others}) from error

    def download(
        self, dataset_id: str, into: str | Path, progress: OnBytes | None = None, *, overwrite: bool = False
    ) -> Path:
        """Download a dataset into a folder and return it. An interrupted download is resumed, every checksum verified.

        A folder with other files is refused (:class:`~offhand.errors.DownloadFailed`) unless ``overwrite``: then those
        that the manifest lists are replaced.
        """
        return download_dataset(self._connection, dataset_id, Path(into), progress, overwrite=overwrite)

    def to_torch(self, dataset_id: str, **options: Any) -> "DatasetStream":
        """Return the dataset as a PyTorch ``IterableDataset`` that streams it (:class:`offhand.torch.DatasetStream`).

        ``options``: of that class, such as ``shuffle=True``. Raises ImportError without torch, NumPy or Pillow.
        """
        from offhand.torch import DatasetStream

        connection = self._connection
        return DatasetStream(dataset_id, connection.base_url, api_key=connection.api_key, **options)

    def pin(self, dataset_id: str) -> Dataset:
        """Keep a dataset whatever its job's retention."""
        return self._connection.send(Dataset, "PATCH", self._at(dataset_id), {"pinned": True})

    def unpin(self, dataset_id: str) -> Dataset:
        """Let a dataset expire again, a day from now at the earliest."""
        return self._connection.send(Dataset, "PATCH", self._at(dataset_id), {"pinned": False})

    def delete(self, dataset_id: str) -> None:
        """Delete a dataset that no waiting or running job needs. Its files are removed after 24 hours."""
        self._connection.request("DELETE", self._at(dataset_id))

    def undelete(self, dataset_id: str) -> Dataset:
        """Restore a dataset that was deleted less than 24 hours ago."""
        return self._connection.send(Dataset, "POST", self._at(dataset_id, "undelete"))

    def exports(self, dataset_id: str) -> Sequence[Export]:
        """Return every format and split that was asked for, with size and SHA-256 where it is ready."""
        exports: Sequence[Export] = self._connection.get(Document, self._at(dataset_id, "exports"))["items"]
        return exports

    def export(self, dataset_id: str, format: str, split: float | None = None, split_seed: int = 0) -> Job:
        """Start the job that writes the dataset as `coco`, `yolo`, `voc`, `masks`, `hf` or `cvat`, or return the one
        that did.

        ``split``: fraction of the images for validation; None: 0.1 for `yolo`, 0 for the others. ``split_seed``:
        chooses those images.
        """
        body = {"format": format, "split": split, "split_seed": split_seed}
        return self._connection.send(Job, "POST", self._at(dataset_id, "exports"), body)

    def download_export(
        self,
        dataset_id: str,
        format: str,
        to: str | Path,
        progress: OnBytes | None = None,
        *,
        split: float | None = None,
        split_seed: int = 0,
        overwrite: bool = False,
    ) -> Path:
        """Download a finished export as the zip ``to`` and return it: resumed like :meth:`download`, and verified.

        Another file of that name is replaced only with ``overwrite``; else :class:`~offhand.errors.DownloadFailed` is
        raised.
        """
        wanted = Variant(format, split, split_seed)
        for export in self.exports(dataset_id):
            if export["url"] and variant_of(export) == wanted:
                return download_export(self._connection, export, Path(to), progress, overwrite=overwrite)
        raise ClientError(f"{dataset_id} is not there as {format}: offhand export {dataset_id} {wanted.options}")

    def _request(self, labels: str | Path, generator: str, count: int, settings: dict[str, Any]) -> Document:
        """Return the request of a dataset; labels that are a path are uploaded where the rest is valid."""
        if not is_id(labels):
            self.check_request(generator, count, **settings)
        source = self._uploads.id_of(labels)
        return {"kind": "generate", "labels": source, "generator": generator, "count": count} | given(settings)
