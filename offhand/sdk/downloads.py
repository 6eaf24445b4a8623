"""Download datasets and exports: interrupted downloads are resumed, every checksum is verified."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from offhand.documents import Export
from offhand.errors import ClientError, DownloadFailed, Unreachable
from offhand.sdk.callbacks import OnBytes
from offhand.sdk.connection import Connection, checked
from offhand.sdk.folders import MANIFEST, HeldFolder, held_folder, refuse_other_file

ATTEMPTS = 5


def download_dataset(
    connection: Connection, dataset_id: str, into: Path, progress: OnBytes | None, *, overwrite: bool = False
) -> Path:
    """Fetch all that the manifest of ``dataset_id`` lists into the folder ``into`` and return it.

    The folder must be missing, empty, or hold this dataset, finished or interrupted; with ``overwrite`` files in it
    that the manifest lists are replaced. Raises :class:`DownloadFailed` for any other folder, for one that cannot be
    written, and while another process downloads into it.
    """
    with held_folder(into, dataset_id, overwrite=overwrite) as folder:
        fetch_dataset(connection, dataset_id, folder, progress)
    return into


def fetch_dataset(connection: Connection, dataset_id: str, folder: HeldFolder, progress: OnBytes | None) -> None:
    """Fetch a dataset into a folder that this process holds.

    Each file is written as ``NAME.part`` and takes its name once its size and SHA-256 are those of the manifest; files
    that are already there and right are not fetched again.
    """
    into = folder.path
    content = connection.content(f"/v1/datasets/{dataset_id}/manifest")
    listed = listed_files(json.loads(content))
    try:
        remove_replaced_dataset(into, dataset_id, {file["path"] for _, file in listed})
        folder.belongs_to(dataset_id)
        total, done = sum(file["bytes"] for _, file in listed), 0
        for place, file in listed:
            before = done

            def on_bytes(size: int, before: int = before) -> None:
                if progress:
                    progress(before + size, total)

            fetch_file(connection, f"/v1/datasets/{dataset_id}/{place}", file, into, on_bytes)
            done += file["bytes"]
            on_bytes(file["bytes"])
        (into / MANIFEST).write_bytes(content)  # last: its presence marks the dataset as complete
        folder.finished()
    except OSError as error:
        raise DownloadFailed(f"cannot write to {into}: {error}") from error


def download_export(
    connection: Connection, export: Export, target: Path, progress: OnBytes | None, *, overwrite: bool = False
) -> Path:
    """Fetch the zip of a finished export to the file ``target`` and return it.

    Another file of that name is replaced only with ``overwrite``; else :class:`DownloadFailed` is raised.
    """
    total = export["bytes"] or 0
    listed = {"path": target.name, "bytes": total, "sha256": export["sha256"]}

    def on_bytes(size: int) -> None:
        if progress:
            progress(size, total)

    try:
        refuse_other_file(target, listed, overwrite=overwrite)
        fetch_file(connection, str(export["url"]), listed, target.parent, on_bytes)
    except OSError as error:
        raise DownloadFailed(f"cannot write to {target}: {error}") from error
    return target


def listed_files(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """``(where the service has it, {path, bytes, sha256})`` of every file of a dataset, the small ones first."""
    described = [(f"files/{quote(file['path'])}", file) for file in manifest.get("files", [])]
    return described + [(f"shards/{quote(Path(shard['path']).name)}", shard) for shard in manifest["shards"]]


def remove_replaced_dataset(into: Path, dataset_id: str, kept: set[str]) -> None:
    """Remove the files of another dataset whose folder is overwritten, so that its shards do not stay between the new
    ones. Files that its manifest does not list are left alone.
    """
    try:
        manifest = json.loads((into / MANIFEST).read_text("utf-8"))
        if manifest["dataset"] == dataset_id:
            return
        replaced = [file["path"] for _, file in listed_files(manifest)]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return
    (into / MANIFEST).unlink()
    for path in set(replaced) - kept:
        local_path(into, path).unlink(missing_ok=True)


def local_path(into: Path, path: str) -> Path:
    """Where a file goes. The service is not trusted with the rest of the disk."""
    target = (into / path).resolve()
    if not target.is_relative_to(into.resolve()) or target == into.resolve():
        raise DownloadFailed(f"the manifest names a file outside of the folder: {path}")
    return target


def fetch_file(
    connection: Connection, url: str, listed: dict[str, Any], into: Path, on_bytes: Callable[[int], None]
) -> None:
    """Fetch one file into the folder ``into``, resumed and verified; ``on_bytes`` is called with its bytes so far."""
    target = local_path(into, listed["path"])
    if target.exists() and target.stat().st_size == listed["bytes"] and digest_of(target) == listed["sha256"]:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    differed = False
    for attempt in range(1, ATTEMPTS + 1):
        try:
            fetch_rest(connection.http, url, listed, part, on_bytes)
        except httpx.TransportError as error:
            if attempt == ATTEMPTS and not differed:
                raise Unreachable(
                    f"the download of {listed['path']} broke off: {error}; run it again to go on"
                ) from error
            time.sleep(min(0.25 * 2**attempt, 10.0))
            continue
        if part.stat().st_size == listed["bytes"] and digest_of(part) == listed["sha256"]:
            part.replace(target)
            return
        part.unlink()  # wrong from some byte on: only a fresh start helps
        differed = True
    raise DownloadFailed(f"{listed['path']} is not what the service promises, {ATTEMPTS} times in a row")


def fetch_rest(
    http: httpx.Client, url: str, listed: dict[str, Any], part: Path, on_bytes: Callable[[int], None]
) -> None:
    """Append what is missing to ``part``; ``If-Range`` starts over when the content has changed meanwhile."""
    have = part.stat().st_size if part.exists() else 0
    if have >= listed["bytes"]:
        return
    headers = {"Range": f"bytes={have}-", "If-Range": f'"{listed["sha256"]}"'} if have else {}
    with http.stream("GET", url, headers=headers, follow_redirects=True) as response:
        checked(response)
        resumed = response.status_code == 206
        have = have if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)
                have += len(chunk)
                if have > listed["bytes"]:
                    raise DownloadFailed(f"{listed['path']} is longer than the service promises")
                on_bytes(have)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_folder(folder: Path) -> dict[str, Any]:
    """Check a downloaded dataset against its manifest; raise :class:`DownloadFailed` naming every file that differs."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ClientError(f"{folder} holds no readable manifest.json: {error}") from error
    wrong = []
    for _, listed in listed_files(manifest):
        path = local_path(folder, listed["path"])
        if not path.exists():
            wrong.append(f"{listed['path']}: missing")
        elif path.stat().st_size != listed["bytes"] or digest_of(path) != listed["sha256"]:
            wrong.append(f"{listed['path']}: not what the manifest promises")
    if wrong:
        raise DownloadFailed(f"{folder} is damaged", wrong)
    return manifest
