"""Parts of large files that go straight to the object store behind the service, by links that the service gives."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from offhand.errors import ClientError

if TYPE_CHECKING:
    from offhand.sdk.client import Client

#: Bytes a second that the service reads at least of what it joins.
SLOWEST_JOINING = 5e6


def send_straight(
    client: "Client", upload: dict[str, Any], archive: Path, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Send the parts that are not there to where the service's links lead, then have all of them joined."""
    there = {part["number"]: part for part in client.pages(upload["urls"]["parts"])}
    number = 0
    # Of its own: the storage must never see the API key.
    with archive.open("rb") as file, httpx.Client(timeout=60.0) as storage:
        while content := file.read(upload["part_size"]):
            number += 1
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            held = there.get(number)
            # A storage that does not tell what it has is believed; the service reads the whole file at the end.
            if held is None or held["size"] != len(content) or held["md5"] not in (None, md5):
                send_part(client, storage, upload, number, content, md5)
            progress(file.tell(), upload["size"])
    return completed(client, upload)


def send_part(
    client: "Client", storage: httpx.Client, upload: dict[str, Any], number: int, content: bytes, md5: str
) -> None:
    """One part, with a new link for each try, as long as the connection is patient."""
    give_up_at = time.monotonic() + client.patience
    pause = 0.2
    while True:
        wish = {"parts": [{"number": number, "md5": md5}]}
        link = client.request("POST", upload["urls"]["part_links"], json=wish).json()["items"][0]
        try:
            answer = storage.put(link["url"], content=content, headers=link["headers"])
        except httpx.TransportError as error:
            told = f"it does not answer ({error})"
        else:
            if answer.is_success:
                return
            told = f"it answered {answer.status_code}: {answer.text[:300]}"
        if time.monotonic() + pause > give_up_at:
            host = httpx.URL(link["url"]).netloc.decode()
            raise ClientError(f"part {number} of {upload['filename']} cannot be sent to the storage at {host}: {told}")
        time.sleep(pause)
        pause = min(pause * 2, 2.0)


def completed(client: "Client", upload: dict[str, Any], parts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The upload, joined of these parts, or of those that went straight to the storage."""
    # The service reads the whole file before it answers.
    timeout = 60.0 + upload["size"] / SLOWEST_JOINING
    answer = client.request("POST", upload["urls"]["complete"], json={"parts": parts}, timeout=timeout)
    complete: dict[str, Any] = answer.json()
    return complete
