"""`offhand webhooks`: addresses that are notified when jobs end."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from offhand.documents import WebhookDelivery
from offhand.errors import ClientError
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_endpoints(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.webhooks.list())
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


group = listing_group(
    "Addresses that are notified when jobs end, and the log of deliveries.", "List the endpoints.", list_endpoints
)

EndpointId = Annotated[str, typer.Argument(help="The endpoint's id (whe_…); see `offhand webhooks ls`.")]


@group.command("add")
def add(
    target: Annotated[str, typer.Argument(help="An https URL at a public address.")],
    event: Annotated[list[str] | None, typer.Option(help="Event type, e.g. job.failed; may be repeated. [all]")] = None,
    description: Annotated[str, typer.Option(help="For you.")] = "",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Add an endpoint and print the secret that its messages are signed with, this once."""
    with ending(as_json) as output, connect(url) as client:
        made = client.webhooks.create(target, event or [], description)
        if made["secret"] is None:
            rotate = f"`offhand webhooks rotate {made['id']}`"
            raise ClientError(f"{made['id']} was made, and the answer that showed its secret was lost: {rotate}")
        output.note(f"{made['id']}: the secret is not shown again")
        output.result(made, made["secret"])  # alone on stdout, so that a script can take it


@group.command("rm")
def remove(endpoint: EndpointId, url: Url = None, as_json: Json = False) -> None:
    """Delete an endpoint with its log."""
    with ending(as_json) as output, connect(url) as client:
        client.webhooks.delete(endpoint)
        output.result({"deleted": endpoint}, f"{endpoint} is deleted")


@group.command("rotate")
def rotate(
    endpoint: EndpointId,
    overlap: Annotated[float, typer.Option(min=0, max=168, help="Hours that the old secret stays valid.")] = 24.0,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Create a new secret and print it, this once."""
    with ending(as_json) as output, connect(url) as client:
        secret = client.webhooks.rotate_secret(endpoint, overlap)
        output.result({"endpoint": endpoint, "secret": secret}, secret)


@group.command("test")
def send_test(endpoint: EndpointId, url: Url = None, as_json: Json = False) -> None:
    """Send a webhook.test event; the log shows the result."""
    with ending(as_json) as output, connect(url) as client:
        delivery = client.webhooks.send_test(endpoint)
        output.result(delivery, f"{delivery['id']} is on its way; see `offhand webhooks log {endpoint}`")


@group.command("log")
def log(
    endpoint: EndpointId,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the deliveries to an endpoint, newest first, and how they went."""
    with ending(as_json) as output, connect(url) as client:
        found = list(islice(client.webhooks.deliveries(endpoint), limit))
        rows = [[one["id"], one["type"], one["state"], last_try(one), one["created_at"][:19]] for one in found]
        columns = ["DELIVERY", "TYPE", "STATE", "LAST TRY", "CREATED"]
        output.result(found, table(columns, rows) if found else "nothing was sent yet")


@group.command("resend")
def resend(
    endpoint: EndpointId,
    delivery: Annotated[str, typer.Argument(help="The delivery's id (dlv_…).")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send a delivery again now."""
    with ending(as_json) as output, connect(url) as client:
        again = client.webhooks.redeliver(endpoint, delivery)
        output.result(again, f"{again['id']} {again['state']}")


def last_try(delivery: WebhookDelivery) -> str:
    """Return the number of tries and how the last one ended; empty before the first."""
    if not delivery["attempts"]:
        return ""
    last = delivery["attempts"][-1]
    return f"{len(delivery['attempts'])}: {last['status'] or last['error']}"
