"""`offhand keys`: the API keys of the tenant that asks, for which its own key must be an `admin` one."""

from typing import TYPE_CHECKING, Annotated

import typer

from offhand.terminal.groups import group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def _list(client: "Client", output: Output) -> None:
    from offhand.commands.keys import list_keys

    list_keys(client, output)


keys = group(
    "API keys of your tenant: make, list, revoke, rotate.",
    "List the keys of your tenant, revoked ones included.",
    _list,
)

KeyId = Annotated[str, typer.Argument(help="Its id (key_…); see `offhand keys ls`.")]


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose it is, so that you know which one to revoke.")],
    scope: Annotated[str, typer.Option(help="read, write or admin; each holds those before it.")] = "write",
    days: Annotated[float, typer.Option(min=0, help="0: it does not expire by itself.")] = 90.0,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.keys import make_key

        make_key(client, name, [scope], days or None, output)


@keys.command("revoke")
def revoke_key(key: KeyId, url: Url = None, as_json: Json = False) -> None:
    """End a key now. It stays in the list."""
    with ending(as_json) as output, connect(url) as client:
        client.revoke_api_key(key)
        output.result(client.api_key(key), f"{key} is revoked")


@keys.command("rotate")
def rotate_key(
    key: KeyId,
    keep: Annotated[bool, typer.Option(help="Leave the old one valid, to be revoked later.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a key like this one, print it, and revoke this one."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.keys import replace_key

        replace_key(client, key, keep, output)
