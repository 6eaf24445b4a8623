"""A checkpoint, brought to this machine: from an upload, from a URL, or from where the catalogue says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from core.callbacks import stop_if_asked
from store.egress import request
from store.errors import DigestMismatch, EgressFailed, TooLarge
from store.job_kinds.import_generator import ImportGeneratorSpec, is_upload, is_url
from store.resources.catalogue import catalogue
from store.uploads.files import CONTENT, get_upload
from worker.runtime.step_context import StepContext

#: A file of a gigabyte over a slow line; and how long a host may say nothing.
_SECONDS, _SILENT_SECONDS = 3600.0, 30.0
_REDIRECTS = 5
#: Downloads of a file whose digest is known and differs: the fault may lie on the way.
_DOWNLOADS = 2


def fetch_checkpoint(context: StepContext) -> Path:
    """The file of the job's `source`, under a name like its own, in the shard's folder.

    Raises NotFound, EgressRefused, EgressFailed naming the host, TooLarge, DigestMismatch.
    """
    source = context.request(ImportGeneratorSpec).source
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
    """Follow redirects; each is checked like the first URL, since it may lead to another machine."""
    for _ in range(_REDIRECTS + 1):
        with request(
            "GET",
            url,
            headers={"Accept": "*/*", "User-Agent": "offhand"},
            timeout=_SECONDS,
            patience=_SILENT_SECONDS,
            trusted_hosts=context.settings.egress.trusted_hosts,
        ) as answer:
            if answer.status in (301, 302, 303, 307, 308) and "location" in answer.headers:
                url = _redirected(url, answer.headers["location"])
                continue
            if answer.status != 200:
                raise EgressFailed(f"{url} answers {answer.status}; nothing was imported")
            declared = answer.headers.get("content-length", "")
            total = int(declared) if re.fullmatch(r"[0-9]{1,18}", declared) else 0
            limit = context.settings.limits.upload_bytes
            if total > limit:
                raise TooLarge(f"{url} has {total} bytes; {limit} are allowed")
            path = context.folder / _safe(urlsplit(url).path.rpartition("/")[2])
            done = 0
            with path.open("wb") as file:
                for piece in answer.pieces(limit + 1):
                    stop_if_asked(context.should_stop)
                    done += file.write(piece)
                    context.progress(min(done, total), total)
            if done > limit:
                raise TooLarge(f"{url} has more than the allowed {limit} bytes")
            return path
    raise EgressFailed(f"{url} redirects more than {_REDIRECTS} times")


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise EgressFailed(
            f"{url} redirects to {location[:200]!r}, which is not a URL; nothing was imported"
        ) from error


def _safe(filename: str) -> str:
    return re.sub(r"[^\w.-]+", "_", filename).lstrip(".")[-100:] or "checkpoint"
