"""A checkpoint, brought to this machine: from an upload, from a URL, or from where the catalogue says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from core.callbacks import stop_if_asked
from store.downloads import DownloadLimits, download
from store.errors import DigestMismatch
from store.job_kinds.import_generator import is_upload, is_url
from store.resources.catalogue import catalogue
from store.uploads.files import CONTENT, get_upload
from worker.runtime.step_context import StepContext

#: Downloads of a file whose digest is known and differs: the fault may lie on the way.
_DOWNLOADS = 2


def fetch_checkpoint(context: StepContext, source: str) -> Path:
    """The file of a job's `source`, under a name like its own, in the shard's folder.

    Raises NotFound, EgressRefused, EgressFailed naming the host, TooLarge, DigestMismatch.
    """
    if is_upload(source):
        filename = get_upload(context.db, source, tenant=context.tenant).filename
        folder = context.folder / "upload"
        folder.mkdir()
        return context.fetch(source, CONTENT, into=folder).rename(folder / _safe(filename))
    if is_url(source):
        return _download(context, source)
    entry = catalogue()[source]
    for _ in range(_DOWNLOADS):
        path = _download(context, entry.url)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if entry.sha256 in (None, digest):
            return path
    raise DigestMismatch(
        f"{entry.url} has SHA-256 {digest}, downloaded {_DOWNLOADS} times; its makers published {entry.sha256}"
    )


def _download(context: StepContext, url: str) -> Path:
    """Return the file at a URL, under the name that it has there."""

    def on_bytes(done: int, total: int) -> None:
        stop_if_asked(context.should_stop)
        context.progress(done, total)

    target = context.folder / "download"
    limits = DownloadLimits(context.settings.limits.upload_bytes, trusted_hosts=context.settings.egress.trusted_hosts)
    found = download(url, target, limits, on_bytes=on_bytes)
    return target.rename(context.folder / _safe(urlsplit(found).path.rpartition("/")[2]))


def _safe(filename: str) -> str:
    return re.sub(r"[^\w.-]+", "_", filename).lstrip(".")[-100:] or "checkpoint"
