"""What most groups of commands have in common: alone, or as `ls`, they list what there is."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def group(about: str, listing: str, list_all: "Callable[[Client, Output], None]") -> typer.Typer:
    """A group that is about something, and lists it."""
    made = typer.Typer(help=about)

    @made.callback(invoke_without_command=True)
    def there_are(context: typer.Context, url: Url = None, as_json: Json = False) -> None:
        if context.invoked_subcommand is None:
            ls(url, as_json)

    @made.command("ls", help=listing)
    def ls(url: Url = None, as_json: Json = False) -> None:
        with ending(as_json) as output, connect(url) as client:
            list_all(client, output)

    return made
