"""`offhand quota`: limits of the tenant and what of them is used."""

from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import ending
from offhand.terminal.tables import table


def quota(url: Url = None, as_json: Json = False) -> None:
    """List every limit and how much of it is used."""
    with ending(as_json) as output, connect(url) as client:
        items = client.quota()
        rows = [[one["name"], "" if one["used"] is None else f"{one['used']:,}", f"{one['limit']:,}"] for one in items]
        output.result(list(items), table(["LIMIT", "USED", "ALLOWED"], rows))
