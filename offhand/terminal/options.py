"""Options that several commands take. Imports nothing heavy at its top."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offhand.errors import ClientError

if TYPE_CHECKING:
    from offhand.sdk.client import Client

Url = Annotated[str | None, typer.Option("--url", envvar="OFFHAND_URL", help="The service. [http://127.0.0.1:8321]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one document.")]
Name = Annotated[str | None, typer.Option(help="Your name for the job and what it makes, shown in lists.")]
Preset = Annotated[str | None, typer.Option(help="Settings by name: faces, cars, humans, streets; fast, paper.")]
Sampling = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        metavar="NAME=VALUE",
        help="Sampling setting of the generator; `offhand generators show` lists them. Repeatable.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files in --out that are not of this dataset.")]


def connect(url: str | None) -> "Client":
    """Return a client of the service at ``url``, for a command's body."""
    from offhand.sdk.client import Client

    return Client(url)


def preset_field(preset: str | None) -> str:
    """Return the field of a request that a preset belongs to: how the labeler is trained, or settings of a domain."""
    return "labeler.preset" if preset in ("fast", "paper") else "preset"


def request_settings(
    fields: list[str] | None, named: dict[str, Any], sampling: list[str] | None = None
) -> dict[str, Any]:
    """Return the values of ``--set`` (``["labeler.members=5"]``), of named options and of ``--setting`` as the nested
    fields of a request; None means "not given".
    """
    given = {name: value for name, value in named.items() if value is not None}
    given |= dict(_pair("--set", text) for text in fields or [])
    given |= {f"sampling.{name}": value for name, value in (_pair("--setting", text) for text in sampling or [])}
    settings: dict[str, Any] = {}
    for name, value in given.items():
        *parents, leaf = name.split(".")
        place = settings
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ClientError(f"--set {name}: {parent} has a value already")
        place[leaf] = value
    return settings


def _pair(option: str, text: str) -> tuple[str, Any]:
    """Return ``members=5`` as a name and a JSON value; a bare word is a string."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ClientError(f"{option} {text}: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
