"""`offhand keys`: what its commands do with the service."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from offhand.commands.jobs import table
from offhand.errors import ClientError
from offhand.terminal.output import Output

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_keys(client: "Client", output: Output) -> None:
    found = list(client.api_keys())
    rows = [
        [key["id"], key["name"], ",".join(key["scopes"]), key["hint"], state_of(key), (key["last_used_at"] or "")[:16]]
        for key in found
    ]
    columns = ["KEY", "NAME", "SCOPES", "BEGINS", "STATE", "LAST USED"]
    output.result(found, table(columns, rows) if found else "no keys")


def make_key(client: "Client", name: str, scopes: list[str], days: float | None, output: Output) -> None:
    """Print a new key: on stdout it stands alone, so that a script can take it."""
    made = shown_once(client.create_api_key(name, scopes, days))
    output.note(f"{made['id']} {made['name']}: not shown again")
    output.result(made, made["key"])


def replace_key(client: "Client", key_id: str, keep: bool, output: Output) -> None:
    """Print a new key of the same name, scopes and lifetime, then revoke the old one: never are there none."""
    old = client.api_key(key_id)
    if old["revoked_at"]:
        raise ClientError(f"{key_id} is revoked already; make a new one with `offhand keys create`")
    made = shown_once(client.create_api_key(old["name"], old["scopes"], lifetime(old)))
    output.note(f"{made['id']} {made['name']}: not shown again")
    output.result(made | {"replaces": key_id}, made["key"])
    if not keep:
        client.revoke_api_key(key_id)
        output.note(f"{key_id} is revoked")


def shown_once(made: dict[str, Any]) -> dict[str, Any]:
    """The new key, unless the answer that had it was lost and only its repetition came through."""
    if made["key"] is None:
        raise ClientError(f"{made['id']} was made, and the answer that showed it was lost: revoke it, make another")
    return made


def lifetime(key: dict[str, Any]) -> float | None:
    """Days from its birth to its end; None where it does not expire."""
    if key["expires_at"] is None:
        return None
    lasts = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
    return lasts.total_seconds() / 86400


def state_of(key: dict[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {key['revoked_at'][:10]}"
    return f"until {key['expires_at'][:10]}" if key["expires_at"] else "stays"
