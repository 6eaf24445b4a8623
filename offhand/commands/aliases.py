"""`offhand aliases`: names that point at datasets."""

from typing import TYPE_CHECKING, Annotated

import typer

from offhand.commands.delivery import DatasetId, dataset_id_of
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client

AliasName = Annotated[str, typer.Argument(help="Name of the alias, such as latest.")]


def list_aliases(client: "Client", output: Output) -> None:
    """Print a table, by name."""
    found = list(client.aliases.list())
    rows = [[one["name"], one["dataset"], one["dataset_state"], one["moved_at"][:19]] for one in found]
    empty = "no aliases; `offhand aliases set NAME DATASET` makes one"
    output.result(found, table(["ALIAS", "DATASET", "STATE", "MOVED"], rows) if found else empty)


group = listing_group("Aliases: names that point at datasets.", "List aliases.", list_aliases)


@group.command("set")
def set_alias(name: AliasName, dataset: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Point a name at a dataset; a new name is created."""
    with ending(as_json) as output, connect(url) as client:
        alias = client.aliases.set(name, dataset_id_of(client, dataset))
        output.result(alias, f"{alias['name']} points at {alias['dataset']}")


@group.command("rm")
def rm(name: AliasName, url: Url = None, as_json: Json = False) -> None:
    """Delete a name; its dataset stays."""
    with ending(as_json) as output, connect(url) as client:
        client.aliases.delete(name)
        output.result({"deleted": name}, f"{name} is deleted; its dataset stays")
