"""`offhand webhooks`: what its commands do with the service."""

from itertools import islice
from typing import TYPE_CHECKING, Any

from offhand.commands.jobs import table
from offhand.errors import ClientError
from offhand.terminal.output import Output

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_endpoints(client: "Client", output: Output) -> None:
    found = list(client.webhook_endpoints())
    rows = [
        [
            one["id"],
            "on" if one["enabled"] else f"off: {one['disabled_reason']}",
            ",".join(one["events"]) or "everything",
            one["url"],
        ]
        for one in found
    ]
    output.result(found, table(["ENDPOINT", "STATE", "EVENTS", "URL"], rows) if found else "no endpoints")


def add_endpoint(client: "Client", url: str, events: list[str], description: str, output: Output) -> None:
    """Print the new endpoint's secret: on stdout it stands alone, so that a script can take it."""
    made = client.create_webhook_endpoint(url, events, description)
    if made["secret"] is None:
        rotate = f"`offhand webhooks rotate {made['id']}`"
        raise ClientError(f"{made['id']} was made, and the answer that showed its secret was lost: {rotate}")
    output.note(f"{made['id']}: the secret is not shown again")
    output.result(made, made["secret"])


def list_deliveries(client: "Client", endpoint_id: str, limit: int, output: Output) -> None:
    found = list(islice(client.webhook_deliveries(endpoint_id), limit))
    rows = [[one["id"], one["type"], one["state"], last_try(one), one["created_at"][:19]] for one in found]
    columns = ["DELIVERY", "TYPE", "STATE", "LAST TRY", "CREATED"]
    output.result(found, table(columns, rows) if found else "nothing was sent yet")


def last_try(delivery: dict[str, Any]) -> str:
    """How the last of its tries went."""
    if not delivery["attempts"]:
        return ""
    last = delivery["attempts"][-1]
    return f"{len(delivery['attempts'])}: {last['status'] or last['error']}"
