"""Labels that a command names: an id, or a path that is uploaded with progress."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from offhand.errors import ClientError
from offhand.terminal.output import Output
from offhand.terminal.progress import ByteProgress

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def uploaded(client: "Client", labels: str, output: Output, check: Callable[[], None] = lambda: None) -> str:
    """Return the id of the labels, uploaded where they are a path; ``check`` is called before, to refuse that."""
    from offhand.sdk.uploads import is_id

    if is_id(labels):
        return labels
    path = Path(labels)
    if not path.exists():
        raise ClientError(f"{labels}: no such file or folder")
    check()
    with ByteProgress(output, f"uploading {path.name}") as on_bytes:
        return client.uploads.create(path, on_bytes)["id"]
