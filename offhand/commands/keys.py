"""`offhand keys`: API keys of the tenant, managed with one of its `admin` keys."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.documents import ApiKey, NewApiKey
from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_keys(client: "Client", output: Output) -> None:
    """Print a table, newest first, revoked keys included."""
    found = list(client.keys.list())
    rows = [
        [key["id"], key["name"], ",".join(key["scopes"]), key["hint"], state_of(key), (key["last_used_at"] or "")[:16]]
        for key in found
    ]
    columns = ["KEY", "NAME", "SCOPES", "BEGINS", "STATE", "LAST USED"]
    output.result(found, table(columns, rows) if found else "no keys")


group = listing_group(
    "API keys of your tenant: create, list, revoke, rotate.",
    "List the keys of your tenant, revoked ones included.",
    list_keys,
)

KeyId = Annotated[str, typer.Argument(help="Its id (key_…); see `offhand keys ls`.")]


@group.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of its user, to identify it when it is revoked.")],
    scope: Annotated[str, typer.Option(help="read, write or admin; each holds those before it.")] = "write",
    days: Annotated[float, typer.Option(min=0, help="0: it does not expire by itself.")] = 90.0,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Create a key and print it, this once."""
    with ending(as_json) as output, connect(url) as client:
        made = shown_once(client.keys.create(name, [scope], days or None))
        output.note(f"{made['id']} {made['name']}: not shown again")
        output.result(made, str(made["key"]))  # alone on stdout, so that a script can take it


@group.command("revoke")
def revoke(key: KeyId, url: Url = None, as_json: Json = False) -> None:
    """Revoke a key at once. It stays in the list."""
    with ending(as_json) as output, connect(url) as client:
        client.keys.revoke(key)
        output.result(client.keys.get(key), f"{key} is revoked")


@group.command("rotate")
def rotate(
    key: KeyId,
    keep: Annotated[bool, typer.Option(help="Leave the old key valid.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Create a key like this one, print it, and revoke this one."""
    with ending(as_json) as output, connect(url) as client:
        replace_key(client, key, keep, output)


def replace_key(client: "Client", key_id: str, keep: bool, output: Output) -> None:
    """Print a new key of the same name, scopes and lifetime, then revoke the old one: one of them is always valid."""
    old = client.keys.get(key_id)
    if old["revoked_at"]:
        raise ClientError(f"{key_id} is revoked already; make a new one with `offhand keys create`")
    made = shown_once(client.keys.create(old["name"], old["scopes"], lifetime(old)))
    output.note(f"{made['id']} {made['name']}: not shown again")
    output.result(made | {"replaces": key_id}, str(made["key"]))
    if not keep:
        client.keys.revoke(key_id)
        output.note(f"{key_id} is revoked")


def shown_once(made: NewApiKey) -> NewApiKey:
    """Return the new key; raise where the answer that had it was lost and a retry returned it without the key."""
    if made["key"] is None:
        raise ClientError(f"{made['id']} was made, and the answer that showed it was lost: revoke it, make another")
    return made


def lifetime(key: ApiKey) -> float | None:
    """Return the days from a key's creation to its end; None where it does not expire."""
    if key["expires_at"] is None:
        return None
    lasts = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
    return lasts.total_seconds() / 86400


def state_of(key: ApiKey) -> str:
    """Return whether a key is revoked, expires, or stays."""
    if key["revoked_at"]:
        return f"revoked {key['revoked_at'][:10]}"
    return f"until {key['expires_at'][:10]}" if key["expires_at"] else "stays"
