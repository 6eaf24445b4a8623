"""`offhand webhooks`: who is told when jobs end."""

from typing import TYPE_CHECKING, Annotated

import typer

from offhand.terminal.groups import group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def _list(client: "Client", output: Output) -> None:
    from offhand.commands.webhooks import list_endpoints

    list_endpoints(client, output)


webhooks = group("Addresses that are told when jobs end, and the log of what was sent.", "List the endpoints.", _list)

EndpointId = Annotated[str, typer.Argument(help="The endpoint's id (whe_…); see `offhand webhooks ls`.")]


@webhooks.command("add")
def add_webhook(
    target: Annotated[str, typer.Argument(help="https, on a public address.")],
    event: Annotated[
        list[str] | None, typer.Option(help="Only these, e.g. job.failed; may be repeated. [everything]")
    ] = None,
    description: Annotated[str, typer.Option(help="For you.")] = "",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Have an address told, and print the secret that its messages are signed with, this once."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.webhooks import add_endpoint

        add_endpoint(client, target, event or [], description, output)


@webhooks.command("rm")
def remove_webhook(endpoint: EndpointId, url: Url = None, as_json: Json = False) -> None:
    """Forget an endpoint with its log."""
    with ending(as_json) as output, connect(url) as client:
        client.delete_webhook_endpoint(endpoint)
        output.result({"deleted": endpoint}, f"{endpoint} is forgotten")


@webhooks.command("rotate")
def rotate_webhook(
    endpoint: EndpointId,
    overlap: Annotated[float, typer.Option(min=0, max=168, help="Hours that the old secret signs beside it.")] = 24.0,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a new secret and print it, this once."""
    with ending(as_json) as output, connect(url) as client:
        secret = client.rotate_webhook_secret(endpoint, overlap)
        output.result({"endpoint": endpoint, "secret": secret}, secret)


@webhooks.command("test")
def try_webhook(endpoint: EndpointId, url: Url = None, as_json: Json = False) -> None:
    """Send a message of type webhook.test; look at the log to see how it went."""
    with ending(as_json) as output, connect(url) as client:
        delivery = client.send_webhook_test(endpoint)
        output.result(delivery, f"{delivery['id']} is on its way; see `offhand webhooks log {endpoint}`")


@webhooks.command("log")
def show_webhook_log(
    endpoint: EndpointId,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List what was sent to an endpoint, newest first, and how it went."""
    with ending(as_json) as output, connect(url) as client:
        from offhand.commands.webhooks import list_deliveries

        list_deliveries(client, endpoint, limit, output)


@webhooks.command("resend")
def resend_webhook(
    endpoint: EndpointId,
    delivery: Annotated[str, typer.Argument(help="The delivery's id (dlv_…).")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send the same message again, now."""
    with ending(as_json) as output, connect(url) as client:
        again = client.redeliver_webhook(endpoint, delivery)
        output.result(again, f"{again['id']} {again['state']}")
