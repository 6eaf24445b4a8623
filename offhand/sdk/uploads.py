"""Upload labelled images and checkpoints: large files in parts, of which only missing ones are sent again."""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from offhand.documents import Document, Upload
from offhand.errors import ClientError, Refused
from offhand.sdk.callbacks import OnBytes
from offhand.sdk.connection import Connection
from offhand.sdk.direct_uploads import completed, send_straight

CHUNK = 1 << 20
#: Files of more bytes go in parts, so that a try that breaks off is gone on with.
LARGE = 32 << 20
PART = 16 << 20
MOST_PARTS = 10_000
#: Files of a folder of photographs that are sent as examples.
MOST_EXAMPLES = 200
EPOCH = (1980, 1, 1, 0, 0, 0)


@contextmanager
def file_or_archive(path: Path, most: int | None = None) -> Iterator[Path]:
    """Yield ``path`` where it is a file, and a temporary archive of it where it is a folder.

    ``most``: files of a folder that are packed at most, spread over the order of their names.
    """
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise ClientError(f"{path} is neither a file nor a folder")
    with TemporaryDirectory(prefix="offhand-") as folder:
        archive = Path(folder) / f"{path.resolve().name}.zip"
        pack(path, archive, most)
        yield archive


def pack(folder: Path, archive: Path, most: int | None = None) -> None:
    """Zip a folder: same files, same bytes, so that the service recognises an archive that it has already."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    if most is not None and len(files) > most:
        files = [files[at * len(files) // most] for at in range(most)]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in files:
            zipped.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH), path.read_bytes())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def upload_archive(connection: Connection, archive: Path, progress: OnBytes | None, purpose: str) -> Upload:
    """Announce size and digest, then send the bytes; of a large file only what is not there yet from an earlier try.

    Returns the complete upload.
    """
    size = archive.stat().st_size
    declared = {"filename": archive.name, "size": size, "sha256": sha256_of(archive), "purpose": purpose}
    large = size > LARGE
    upload = begun_before(connection, declared) if large else None
    if upload is None:
        upload = connection.send(Upload, "POST", "/v1/uploads", declared)
    if upload["state"] == "pending":
        in_parts = send_straight if upload["urls"].get("part_links") else send_in_parts
        send = in_parts if large else send_at_once
        upload = send(connection, upload, archive, progress or (lambda _sent, _size: None))
    return upload


def begun_before(connection: Connection, declared: dict[str, Any]) -> Upload | None:
    """Return the upload of the same file that an earlier try began, complete or not."""
    for upload in connection.pages(Upload, "/v1/uploads", sha256=declared["sha256"]):
        if (upload["filename"], upload["size"]) == (declared["filename"], declared["size"]):
            return upload
    return None


def send_at_once(connection: Connection, upload: Upload, archive: Path, progress: OnBytes) -> Upload:
    """Send a small file in one request."""
    size = upload["size"]

    def chunks() -> Iterator[bytes]:
        sent = 0
        with archive.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
                sent += len(chunk)
                progress(sent, size)

    class Body:
        """Read the file from its start each time the request is tried."""

        def __iter__(self) -> Iterator[bytes]:
            return chunks()

    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    try:
        sent = connection.request("PUT", upload["urls"]["content"], content=Body(), headers=headers)
    except Refused as error:
        # An earlier try of this PUT may have arrived although its answer did not.
        state = connection.get(Upload, upload["urls"]["self"])
        if error.status != 409 or state["state"] != "complete":
            raise
        return state
    complete: Upload = sent.json()
    return complete


def send_in_parts(connection: Connection, upload: Upload, archive: Path, progress: OnBytes) -> Upload:
    """Send the parts that are not there with the right digest, then have all of them joined."""
    there = {part["number"]: part["sha256"] for part in connection.pages(Document, upload["urls"]["parts"])}
    parts: list[dict[str, Any]] = []
    size = max(PART, -(-upload["size"] // MOST_PARTS))
    headers = {"Content-Type": "application/octet-stream"}
    with archive.open("rb") as file:
        while content := file.read(size):
            number, sha256 = len(parts) + 1, hashlib.sha256(content).hexdigest()
            if there.get(number) != sha256:
                url = f"{upload['urls']['parts']}/{number}"
                connection.request("PUT", url, params={"sha256": sha256}, content=content, headers=headers)
            parts.append({"number": number, "sha256": sha256})
            progress(file.tell(), upload["size"])
    return completed(connection, upload, parts)


def is_id(labels: str | Path) -> bool:
    """Whether ``labels`` is the id of a label set or an upload (``ls_…``, ``upl_…``) rather than a path."""
    return str(labels).startswith(("ls_", "upl_")) and not Path(labels).exists()
