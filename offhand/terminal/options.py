"""Options that several commands take. Imports nothing heavy at its top."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.errors import ClientError

if TYPE_CHECKING:
    from offhand.sdk.client import Client

Url = Annotated[str | None, typer.Option("--url", envvar="OFFHAND_URL", help="The service. [http://127.0.0.1:8321]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one document.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files in --out that are not of this dataset.")]


def connect(url: str | None) -> "Client":
    """Return a client of the service at ``url``, for a command's body."""
    from offhand.sdk.client import Client

    return Client(url)


def request_settings(pairs: list[str], named: dict[str, Any]) -> dict[str, Any]:
    """Return ``["labeler.members=5"]`` and named options as the nested fields of a request; None means "not given"."""
    settings: dict[str, Any] = {}
    given = {name: value for name, value in named.items() if value is not None}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ClientError(f"--set {pair}: write NAME=VALUE")
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text  # a bare word is a string
    for name, value in given.items():
        *parents, leaf = name.split(".")
        place = settings
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ClientError(f"--set {name}: {parent} has a value already")
        place[leaf] = value
    return settings
