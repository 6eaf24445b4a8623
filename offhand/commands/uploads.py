"""`offhand uploads`: list and delete uploads; and labels that a command names: an id, or a path that is uploaded."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.progress import ByteProgress
from offhand.terminal.tables import table

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


def list_uploads(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.uploads.list())
    rows = [[one["id"], one["filename"], f"{one['size']:,}", one["state"], one["created_at"][:19]] for one in found]
    columns = ["UPLOAD", "FILE", "BYTES", "STATE", "CREATED"]
    output.result(found, table(columns, rows) if found else "no uploads")


group = listing_group("Uploads: files that were sent to the service.", "List uploads.", list_uploads)


@group.command("rm")
def rm(upload: Annotated[str, typer.Argument(help="Its id (upl_…).")], url: Url = None, as_json: Json = False) -> None:
    """Delete an upload that no waiting or running job needs. What was made from it stays."""
    with ending(as_json) as output, connect(url) as client:
        client.uploads.delete(upload)
        output.result({"deleted": upload}, f"{upload} is deleted")
