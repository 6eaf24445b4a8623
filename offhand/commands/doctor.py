"""`offhand doctor`: check this installation and the service."""

from offhand.terminal.options import Json, Url
from offhand.terminal.output import ending


def doctor(url: Url = None, as_json: Json = False) -> None:
    """Check this machine for problems that keep Offhand from working."""
    with ending(as_json) as output:
        from offhand.embedded.doctor import examine

        examine(url, output)
