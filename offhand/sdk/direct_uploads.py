"""Send parts of large files straight to the object store, to links that the service returns."""

import hashlib
import time
from pathlib import Path

import httpx

from offhand.documents import Document, Upload
from offhand.errors import ClientError
from offhand.sdk.callbacks import OnBytes
from offhand.sdk.connection import Connection

#: Bytes a second that the service reads at least of what it joins.
SLOWEST_JOINING = 5e6


def send_straight(connection: Connection, upload: Upload, archive: Path, progress: OnBytes) -> Upload:
    """Send the parts that the storage lacks to the service's links, then have all parts joined."""
    there = {part["number"]: part for part in connection.pages(Document, upload["urls"]["parts"])}
    number = 0
    # Of its own: the storage must never see the API key.
    with archive.open("rb") as file, httpx.Client(timeout=60.0) as storage:
        while content := file.read(upload["part_size"]):
            number += 1
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            held = there.get(number)
            # Without an MD5 of the storage the part is taken as right; the service reads the whole file at the end.
            if held is None or held["size"] != len(content) or held["md5"] not in (None, md5):
                send_part(connection, storage, upload, number, content, md5)
            progress(file.tell(), upload["size"])
    return completed(connection, upload)


def send_part(
    connection: Connection, storage: httpx.Client, upload: Upload, number: int, content: bytes, md5: str
) -> None:
    """Send one part, with a new link for each try, for ``patience`` seconds of the connection."""
    give_up_at = time.monotonic() + connection.patience
    pause = 0.2
    while True:
        wanted = {"parts": [{"number": number, "md5": md5}]}
        link = connection.send(Document, "POST", upload["urls"]["part_links"], wanted)["items"][0]
        try:
            answer = storage.put(link["url"], content=content, headers=link["headers"])
        except httpx.TransportError as error:
            failure = f"it does not answer ({error})"
        else:
            if answer.is_success:
                return
            failure = f"it answered {answer.status_code}: {answer.text[:300]}"
        if time.monotonic() + pause > give_up_at:
            host = httpx.URL(link["url"]).netloc.decode()
            where = f"part {number} of {upload['filename']} cannot be sent to the storage at {host}"
            raise ClientError(f"{where}: {failure}")
        time.sleep(pause)
        pause = min(pause * 2, 2.0)


def completed(connection: Connection, upload: Upload, parts: list[Document] | None = None) -> Upload:
    """Have the service join these parts (None: those that went straight to the storage) and return the upload."""
    # The service reads the whole file before it answers.
    timeout = 60.0 + upload["size"] / SLOWEST_JOINING
    return connection.send(Upload, "POST", upload["urls"]["complete"], {"parts": parts}, timeout=timeout)
