"""Labelled images on their way to the service."""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from client.errors import ClientError, Refused

if TYPE_CHECKING:
    from client.sdk import Offhand

CHUNK = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)


@contextmanager
def labels_archive(labels: Path) -> Iterator[Path]:
    """``labels`` itself when it is a file; a temporary archive of it when it is a folder."""
    if labels.is_file():
        yield labels
        return
    if not labels.is_dir():
        raise ClientError(f"{labels} is neither an archive nor a folder")
    with TemporaryDirectory(prefix="offhand-") as folder:
        archive = Path(folder) / f"{labels.resolve().name}.zip"
        pack(labels, archive)
        yield archive


def pack(folder: Path, archive: Path) -> None:
    """Zip a folder: same files, same bytes, so that the service knows it has them already."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in files:
            zipped.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH), path.read_bytes())


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def upload_archive(
    offhand: "Offhand", archive: Path, progress: Callable[[int, int], None] | None, purpose: str = "label-set"
) -> dict[str, Any]:
    """Announce size and digest, then send the bytes. Returns the complete upload."""
    size = archive.stat().st_size
    declared = {"filename": archive.name, "size": size, "sha256": sha256_of(archive), "purpose": purpose}
    upload = offhand.request("POST", "/v1/uploads", json=declared).json()

    def chunks() -> Iterator[bytes]:
        sent = 0
        with archive.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
                sent += len(chunk)
                if progress:
                    progress(sent, size)

    class Body:
        """Read anew each time a request is tried again."""

        def __iter__(self) -> Iterator[bytes]:
            return chunks()

    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    try:
        sent = offhand.request("PUT", f"/v1/uploads/{upload['id']}/content", content=Body(), headers=headers)
    except Refused as error:
        # An earlier try of this PUT may have arrived although its answer did not.
        state: dict[str, Any] = offhand.get(f"/v1/uploads/{upload['id']}")
        if error.status != 409 or state["state"] != "complete":
            raise
        return state
    complete: dict[str, Any] = sent.json()
    return complete
