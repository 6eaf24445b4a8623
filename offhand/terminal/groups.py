"""Groups of commands: alone, or as `ls`, each lists its resources."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def listing_group(about: str, listing: str, list_all: "Callable[[Client, Output], None]") -> typer.Typer:
    """Return a group with the help text ``about`` that lists with ``list_all``, whose help text is ``listing``."""
    group = typer.Typer(help=about)

    @group.callback(invoke_without_command=True)
    def list_alone(context: typer.Context, url: Url = None, as_json: Json = False) -> None:
        if context.invoked_subcommand is None:
            ls(url, as_json)

    @group.command("ls", help=listing)
    def ls(url: Url = None, as_json: Json = False) -> None:
        with ending(as_json) as output, connect(url) as client:
            list_all(client, output)

    return group
