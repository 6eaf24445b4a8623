"""Offhand's client: a small library and the `offhand` command. Needs httpx, typer and rich, and nothing of the service.

::

    from client import Offhand

    with Offhand() as offhand:                                   # http://127.0.0.1:8321, or OFFHAND_URL
        job = offhand.generate(labels="heads50.zip", generator="heads64", count=200)
        job = offhand.wait(job["id"])
        offhand.download(job["result"]["dataset"], into="heads")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client.sdk import Offhand

__all__ = ["Offhand"]


def __getattr__(name: str) -> Any:
    # httpx takes a quarter of a second to import; `offhand --help` must not pay for it.
    if name == "Offhand":
        from client.sdk import Offhand

        return Offhand
    raise AttributeError(name)
