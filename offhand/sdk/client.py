"""The service as a Python object: upload, generate, wait, download. Every call raises :mod:`offhand.errors`."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from offhand.errors import Refused, Unreachable, job_failure
from offhand.sdk.connection import Connection, Document
from offhand.sdk.downloads import Variant, download_dataset, download_export
from offhand.sdk.uploads import labels_archive, upload_archive

#: Stands for labels that are still to be uploaded.
NOT_SENT_YET = "upl_00000000000000000000000000"
#: Fields of a request for a dataset that decide whether labelled images can be used for it.
CHECKED = ("samples", "fit", "align", "inversion", "labeler", "composition", "priority")
TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})

OnJob = Callable[[Document], None]
OnBytes = Callable[[int, int], None]


class Client(Connection):
    """What one service has and does, as :class:`~offhand.sdk.connection.Connection` reaches it."""

    # -- what there is -------------------------------------------------------------------------------------------------

    def generators(self) -> list[Document]:
        return list(self.pages("/v1/generators"))

    def generator(self, name_or_id: str) -> Document:
        return self.get(f"/v1/generators/{name_or_id}")

    def catalogue(self) -> list[Document]:
        """Public checkpoints that can be imported by name."""
        return list(self.pages("/v1/catalogue"))

    def jobs(self, state: str | None = None, kind: str | None = None) -> Iterator[Document]:
        """Newest first."""
        return self.pages("/v1/jobs", state=state, kind=kind)

    def job(self, job_id: str) -> Document:
        return self.get(f"/v1/jobs/{job_id}")

    def events(self, job_id: str) -> Iterator[Document]:
        return self.pages(f"/v1/jobs/{job_id}/events")

    def dataset(self, dataset_id: str) -> Document:
        return self.get(f"/v1/datasets/{dataset_id}")

    def manifest(self, dataset_id: str) -> Document:
        return self.get(f"/v1/datasets/{dataset_id}/manifest")

    def alias(self, name: str) -> Document:
        """Which dataset a name such as `latest` points at, and since when."""
        return self.get(f"/v1/dataset-aliases/{quote(name, safe='')}")

    # -- generators ----------------------------------------------------------------------------------------------------

    def upload_checkpoint(self, path: str | Path, progress: OnBytes | None = None) -> Document:
        """Send a checkpoint (`.pkl`, `.pt`, `.safetensors`). Returns the upload."""
        return upload_archive(self, Path(path), progress, purpose="checkpoint")

    def import_generator(self, source: str | Path, name: str, **settings: Any) -> Document:
        """Start the job that makes a generator of a checkpoint: a file, an upload's id, a URL, a catalogue's name."""
        if Path(source).is_file():
            source = self.upload_checkpoint(source)["id"]
        body = {"source": str(source), "name": name} | {k: v for k, v in settings.items() if v is not None}
        document: Document = self.request("POST", "/v1/generators", json=body).json()
        return document

    def download_preview(self, name_or_id: str, to: str | Path) -> Path:
        """The picture of an imported generator's samples, as a PNG file."""
        response = self.request("GET", f"/v1/generators/{name_or_id}/preview", follow_redirects=True)
        Path(to).write_bytes(response.content)
        return Path(to)

    def delete_generator(self, name_or_id: str) -> None:
        """Forget an imported generator. What was made with it stays."""
        self.request("DELETE", f"/v1/generators/{name_or_id}")

    # -- encoders ------------------------------------------------------------------------------------------------------

    def train_encoder(self, generator: str, labels: str | Path | None = None, **settings: Any) -> Document:
        """Start the job that trains an encoder. ``labels``: an id, or a path that is uploaded first, for what learns
        from labelled images (``train_on``: ``labels`` or ``both``).
        """
        if labels is not None and not is_id(labels):
            labels = self.upload(labels)["id"]
        body = {"generator": generator, "labels": labels} | settings
        body = {name: value for name, value in body.items() if value is not None}
        document: Document = self.request("POST", "/v1/encoders", json=body).json()
        return document

    def encoders(self) -> Iterator[Document]:
        """Newest first, each with its report."""
        return self.pages("/v1/encoders")

    def encoder(self, encoder_id: str) -> Document:
        return self.get(f"/v1/encoders/{encoder_id}")

    def encoder_picture(self, encoder: Document) -> bytes:
        """PNG: images, each beside the attempts at it."""
        return self.request("GET", encoder["pictures"][0]["url"], follow_redirects=True).content

    # -- the job -------------------------------------------------------------------------------------------------------

    def upload(self, labels: str | Path, progress: OnBytes | None = None) -> Document:
        """Send labelled images: an archive, or a folder of `images/`, `masks/`, `classes.json`. Returns the upload."""
        with labels_archive(Path(labels)) as archive:
            return upload_archive(self, archive, progress)

    def generate(
        self, labels: str | Path, generator: str, count: int, *, validate_only: bool = False, **settings: Any
    ) -> Document:
        """Start a job. ``labels`` is an id, or a path that is uploaded first; ``settings`` go into the request."""
        body = {"kind": "generate", "labels": str(labels), "generator": generator, "count": count}
        body |= {name: value for name, value in settings.items() if value is not None}
        if not is_id(labels):
            self.refuse_before_upload(body)
            body["labels"] = self.upload(labels)["id"]
        params = {"validate_only": "true"} if validate_only else {}
        document: Document = self.request("POST", "/v1/jobs", json=body, params=params).json()
        return document

    def refuse_before_upload(self, body: Document) -> None:
        """Raise :class:`~offhand.errors.Refused` for what is wrong with a wish before its labels are sent."""
        try:
            self.request("POST", "/v1/jobs", json=body | {"labels": NOT_SENT_YET}, params={"validate_only": "true"})
        except Refused as error:
            others = [e for e in error.problem.get("errors", []) if e.get("pointer") != "#/labels"]
            if others or error.status != 422:
                raise Refused(error.problem | {"errors": others}) from error

    def check_labels(self, labels: str | Path, generator: str, **settings: Any) -> Document:
        """Start the job that reads labelled images and checks them against the request of :meth:`generate`, without
        making anything of them. Its ``result.label_set`` can stand for the labels afterwards.
        """
        body = {"kind": "check_labels", "generator": generator}
        body |= {name: settings[name] for name in CHECKED if settings.get(name) is not None}
        body["labels"] = str(labels) if is_id(labels) else self.upload(labels)["id"]
        document: Document = self.request("POST", "/v1/jobs", json=body).json()
        return document

    def label_set(self, label_set_id: str) -> Document:
        return self.get(f"/v1/label-sets/{label_set_id}")

    def cancel(self, job_id: str) -> Document:
        document: Document = self.request("POST", f"/v1/jobs/{job_id}/cancel").json()
        return document

    def resume(self, job_id: str) -> Document:
        """Try again what failed of a job; everything that is finished stays."""
        document: Document = self.request("POST", f"/v1/jobs/{job_id}/resume").json()
        return document

    def watch(self, job_id: str, every: float = 0.5, timeout: float | None = None) -> Iterator[Document]:
        """The job each time it has changed, ending with its terminal state, or with its state after ``timeout`` seconds
        whether it has changed or not. A service that restarts is waited for.
        """
        give_up_at = float("inf") if timeout is None else time.monotonic() + timeout
        etag, job = None, None
        while True:
            left = give_up_at - time.monotonic()
            try:
                response = self.request(
                    "GET",
                    f"/v1/jobs/{job_id}",
                    headers={"If-None-Match": etag} if etag else None,
                    within=None if job is None else left,
                )
            except Unreachable:
                if job is None or time.monotonic() < give_up_at:
                    raise
                yield job
                return
            if response.status_code != 304:
                etag = response.headers.get("etag")
                job = response.json()
                yield job
                if job["state"] in TERMINAL:
                    return
            left = give_up_at - time.monotonic()
            if left <= 0 and job is not None:
                if response.status_code == 304:
                    yield job
                return
            time.sleep(min(every, max(0.0, left)))

    def wait(self, job_id: str, progress: OnJob | None = None, timeout: float | None = None) -> Document:
        """Wait until the job succeeds and return it; raise :class:`~offhand.errors.JobFailed` when it ends otherwise.

        ``progress`` is called with the job each time it has changed. ``TimeoutError`` after ``timeout`` seconds, also
        while the job is queued or unchanged; the job goes on.
        """
        for job in self.watch(job_id, timeout=timeout):
            if progress:
                progress(job)
            if job["state"] == "succeeded":
                return job
            if job["state"] in TERMINAL:
                raise job_failure(job)
        raise TimeoutError(f"job {job_id} is still {job['state']} after {timeout:g} s; it goes on")

    def evaluate(
        self, dataset_id: str, labels: str | Path, generated_labels: str | Path | None = None, **settings: Any
    ) -> Document:
        """Have the dataset judged by held-out labels, an id or a path; the job, whose id is the evaluation.

        ``generated_labels``: some of the dataset's own images, labelled by people, for one more comparison.
        """
        given = {"labels": labels} | ({"generated_labels": generated_labels} if generated_labels else {})
        sent = {name: str(one if is_id(one) else self.upload(one)["id"]) for name, one in given.items()}
        body = {"dataset": dataset_id, **sent}
        body |= {name: value for name, value in settings.items() if value is not None}
        document: Document = self.request("POST", "/v1/evaluations", json=body).json()
        return document

    def evaluations(self, dataset_id: str | None = None) -> Iterator[Document]:
        """Newest first."""
        return self.pages("/v1/evaluations", dataset=dataset_id)

    def report(self, evaluation_id: str) -> Document:
        """Verdict, gates, scores and statistics of an evaluation that is done."""
        path = f"/v1/evaluations/{evaluation_id}/report.json"
        document: Document = self.request("GET", path, follow_redirects=True).json()
        return document

    def report_page(self, evaluation_id: str) -> bytes:
        """The same as one HTML page."""
        page = self.request("GET", f"/v1/evaluations/{evaluation_id}/report", follow_redirects=True)
        return page.content

    # -- samples to be labelled ----------------------------------------------------------------------------------------

    def draw_samples(self, generator: str, count: int, **settings: Any) -> Document:
        """Draw images for people to label; the job, whose ``result.samples`` names them."""
        body = {"generator": generator, "count": count} | {k: v for k, v in settings.items() if v is not None}
        document: Document = self.request("POST", "/v1/sample-sets", json=body).json()
        return document

    def sample_sets(self) -> Iterator[Document]:
        """Newest first."""
        return self.pages("/v1/sample-sets")

    def sample_archive(self, sample_set_id: str) -> bytes:
        """The images as a zip that becomes labelled images once masks are in it."""
        path = f"/v1/sample-sets/{sample_set_id}/archive"
        return self.request("GET", path, follow_redirects=True).content

    # -- labelers ------------------------------------------------------------------------------------------------------

    def labelers(self) -> Iterator[Document]:
        """Newest first."""
        return self.pages("/v1/labelers")

    def labeler(self, labeler_id: str) -> Document:
        return self.get(f"/v1/labelers/{labeler_id}")

    def train_labeler(self, labels: str | Path, generator: str, **settings: Any) -> Document:
        """Start the job that trains and judges a labeler alone. ``labels`` is an id, or a path, uploaded first."""
        source = str(labels) if is_id(labels) else self.upload(labels)["id"]
        body = {"labels": source, "generator": generator} | settings
        document: Document = self.request("POST", "/v1/labelers", json=body).json()
        return document

    def assess_labeler(self, labeler_id: str, folds: int | None = None) -> Document:
        """Have a labeler judged by cross-validation; the job."""
        body = {} if folds is None else {"folds": folds}
        document: Document = self.request("POST", f"/v1/labelers/{labeler_id}/reports", json=body).json()
        return document

    def labeler_report(self, labeler_id: str) -> Document:
        """Scores, rejection curve and reliability of the newest report."""
        path = f"/v1/labelers/{labeler_id}/report.json"
        document: Document = self.request("GET", path, follow_redirects=True).json()
        return document

    def labeler_report_file(self, labeler_id: str, kind: str) -> bytes:
        """The same as a `html` page or a `png`."""
        path = f"/v1/labelers/{labeler_id}/report" + ("" if kind == "html" else f".{kind}")
        return self.request("GET", path, follow_redirects=True).content

    # -- exports -------------------------------------------------------------------------------------------------------

    def export(self, dataset_id: str, format: str, split: float | None = None, split_seed: int = 0) -> Document:
        """Have the dataset written as `coco`, `yolo`, `voc`, `masks`, `hf` or `cvat`; the job that does or did it.

        ``split``: fraction of the images that is for validation; None: 0.1 for `yolo`, 0 for the others.
        ``split_seed``: which images.
        """
        wanted = {"format": format, "split": split, "split_seed": split_seed}
        document: Document = self.request("POST", f"/v1/datasets/{dataset_id}/exports", json=wanted).json()
        return document

    def exports(self, dataset_id: str) -> list[Document]:
        """Every format and split that was asked for, with size and SHA-256 where it is ready."""
        listed: list[Document] = self.request("GET", f"/v1/datasets/{dataset_id}/exports").json()["items"]
        return listed

    def download_export(
        self,
        dataset_id: str,
        format: str,
        to: str | Path,
        progress: OnBytes | None = None,
        split: float | None = None,
        split_seed: int = 0,
        *,
        force: bool = False,
    ) -> Path:
        """Fetch an export that is ready as the zip ``to``, going on where an earlier attempt stopped, and verify its
        checksum. Another file of that name is replaced only with ``force``; else DownloadFailed is raised.
        """
        variant: Variant = (format, split, split_seed)
        return download_export(self, dataset_id, variant, Path(to), progress, force=force)

    def download(
        self, dataset_id: str, into: str | Path, progress: OnBytes | None = None, *, force: bool = False
    ) -> Path:
        """Fetch a dataset into a folder, going on where an earlier attempt stopped, and verify every checksum.

        A folder with other files is refused (DownloadFailed) unless ``force``: then those that the manifest lists are
        replaced. Read ``dataset(id)["warnings"]`` before the labels are used.
        """
        return download_dataset(self, dataset_id, Path(into), progress, force=force)

    # -- the tenant's own settings -------------------------------------------------------------------------------------

    def api_keys(self) -> Iterator[Document]:
        """Newest first, revoked ones included; none shows the key itself."""
        return self.pages("/v1/api-keys")

    def api_key(self, key_id: str) -> Document:
        return self.get(f"/v1/api-keys/{key_id}")

    def create_api_key(self, name: str, scopes: list[str], expires_in_days: float | None) -> Document:
        """A new key. Its ``key`` is shown this once; None where the answer had to be asked for again."""
        body = {"name": name, "scopes": scopes, "expires_in_days": expires_in_days}
        document: Document = self.request("POST", "/v1/api-keys", json=body).json()
        return document

    def revoke_api_key(self, key_id: str) -> None:
        """End a key now."""
        self.request("DELETE", f"/v1/api-keys/{key_id}")

    def webhook_endpoints(self) -> Iterator[Document]:
        """Newest first."""
        return self.pages("/v1/webhook-endpoints")

    def create_webhook_endpoint(self, url: str, events: list[str], description: str = "") -> Document:
        """Have an address told when jobs end. Its ``secret`` is shown this once, as a key is."""
        body = {"url": url, "events": events, "description": description}
        document: Document = self.request("POST", "/v1/webhook-endpoints", json=body).json()
        return document

    def delete_webhook_endpoint(self, endpoint_id: str) -> None:
        """Forget an endpoint with its log."""
        self.request("DELETE", f"/v1/webhook-endpoints/{endpoint_id}")

    def rotate_webhook_secret(self, endpoint_id: str, overlap_hours: float = 24.0) -> str:
        """A new secret; the old ones sign beside it for so many hours."""
        body = {"overlap_hours": overlap_hours}
        document = self.request("POST", f"/v1/webhook-endpoints/{endpoint_id}/rotate-secret", json=body).json()
        return str(document["secret"])

    def send_webhook_test(self, endpoint_id: str) -> Document:
        """Send a message of type `webhook.test`; the delivery."""
        document: Document = self.request("POST", f"/v1/webhook-endpoints/{endpoint_id}/test").json()
        return document

    def webhook_deliveries(self, endpoint_id: str) -> Iterator[Document]:
        """What was sent to an endpoint, newest first, with every try."""
        return self.pages(f"/v1/webhook-endpoints/{endpoint_id}/deliveries")

    def redeliver_webhook(self, endpoint_id: str, delivery_id: str) -> Document:
        """Send the same message again, now."""
        path = f"/v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver"
        document: Document = self.request("POST", path).json()
        return document


def is_id(labels: str | Path) -> bool:
    """``ls_…`` and ``upl_…`` are ids; anything that is there as a file is a path."""
    return str(labels).startswith(("ls_", "upl_")) and not Path(labels).exists()
