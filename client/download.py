"""A dataset on its way out: resumed where it stopped, verified to the last byte."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from client.errors import ClientError, DownloadFailed, Unreachable

if TYPE_CHECKING:
    from client.sdk import Offhand

ATTEMPTS = 5
CONTACT_SHEET = "contact_sheet.png"

OnBytes = Callable[[int, int], None]


def download_dataset(offhand: "Offhand", dataset_id: str, into: Path, progress: OnBytes | None) -> Path:
    """Fetch manifest, shards, card and contact sheet of ``dataset_id`` into the folder ``into`` and return it.

    Each file is written as ``NAME.part`` and takes its name once its size and SHA-256 are those of the manifest; files
    that are already there and right are not fetched again.
    """
    manifest = offhand.manifest(dataset_id)
    try:
        into.mkdir(parents=True, exist_ok=True)
        refuse_other_dataset(into, dataset_id)
        total, done = sum(shard["bytes"] for shard in manifest["shards"]), 0
        for shard in manifest["shards"]:
            before = done

            def on_bytes(size: int, before: int = before) -> None:
                if progress:
                    progress(before + size, total)

            fetch_shard(offhand, dataset_id, shard, into, on_bytes)
            done += shard["bytes"]
            on_bytes(shard["bytes"])
        if manifest.get("complete"):
            for url, name in (("card", "README.md"), ("contact-sheet", CONTACT_SHEET)):
                content = offhand.request("GET", f"/v1/datasets/{dataset_id}/{url}").content
                (into / name).write_bytes(content)
        (into / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")  # last: its presence says "complete"
    except OSError as error:
        raise DownloadFailed(f"cannot write to {into}: {error}") from error
    return into


def refuse_other_dataset(into: Path, dataset_id: str) -> None:
    """Two datasets in one folder would be neither."""
    try:
        there = json.loads((into / "manifest.json").read_text()).get("dataset")
    except FileNotFoundError:
        return
    except ValueError:
        there = "an unreadable manifest"
    if there != dataset_id:
        raise DownloadFailed(f"{into} already holds {there}; choose another folder")


def shard_path(into: Path, path: str) -> Path:
    """Where a shard goes. The service is not trusted with the rest of the disk."""
    target = (into / path).resolve()
    if not target.is_relative_to(into.resolve()) or target == into.resolve():
        raise DownloadFailed(f"the manifest names a file outside of the folder: {path}")
    return target


def fetch_shard(
    offhand: "Offhand", dataset_id: str, shard: dict[str, Any], into: Path, on_bytes: Callable[[int], None]
) -> None:
    target = shard_path(into, shard["path"])
    if target.exists() and target.stat().st_size == shard["bytes"] and digest_of(target) == shard["sha256"]:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    url = f"/v1/datasets/{dataset_id}/shards/{Path(shard['path']).name}"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            fetch_rest(offhand.http, url, shard, part, on_bytes)
        except httpx.TransportError as error:
            if attempt == ATTEMPTS:
                raise Unreachable(
                    f"the download of {shard['path']} broke off: {error}; run it again to go on"
                ) from error
            time.sleep(min(0.5 * 2**attempt, 10.0))
            continue
        if part.stat().st_size == shard["bytes"] and digest_of(part) == shard["sha256"]:
            part.replace(target)
            return
        part.unlink()  # wrong from some byte on: only a fresh start helps
    raise DownloadFailed(f"{shard['path']} is not what the manifest promises, {ATTEMPTS} times in a row")


def fetch_rest(
    http: httpx.Client, url: str, shard: dict[str, Any], part: Path, on_bytes: Callable[[int], None]
) -> None:
    """Append what is missing to ``part``; ``If-Range`` starts over when the content has changed meanwhile."""
    from client.sdk import checked

    have = part.stat().st_size if part.exists() else 0
    if have >= shard["bytes"]:
        return
    headers = {"Range": f"bytes={have}-", "If-Range": f'"{shard["sha256"]}"'} if have else {}
    with http.stream("GET", url, headers=headers, follow_redirects=True) as response:
        checked(response)
        resumed = response.status_code == 206
        have = have if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)
                have += len(chunk)
                if have > shard["bytes"]:
                    raise DownloadFailed(f"{shard['path']} is longer than the manifest promises")
                on_bytes(have)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_folder(folder: Path) -> dict[str, Any]:
    """Check a downloaded dataset against its manifest; raise :class:`DownloadFailed` naming every file that differs."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise ClientError(f"{folder} holds no readable manifest.json: {error}") from error
    wrong = []
    for shard in manifest["shards"]:
        path = shard_path(folder, shard["path"])
        if not path.exists():
            wrong.append(f"{shard['path']}: missing")
        elif path.stat().st_size != shard["bytes"] or digest_of(path) != shard["sha256"]:
            wrong.append(f"{shard['path']}: not what the manifest promises")
    if wrong:
        raise DownloadFailed(f"{folder} is damaged", wrong)
    return manifest
