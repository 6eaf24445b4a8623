"""What every command of `offhand` takes. Imports nothing heavy: `offhand --help` is for impatient people."""

from typing import Annotated, Any

import typer

Url = Annotated[str | None, typer.Option("--url", envvar="OFFHAND_URL", help="The service. [http://127.0.0.1:8321]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one document.")]

Force = Annotated[bool, typer.Option("--force", help="Replace files in --out that are not of this dataset.")]


def connect(url: str | None) -> Any:
    """The service at ``url``, for a command's body."""
    from offhand.sdk.client import Client

    return Client(url)
