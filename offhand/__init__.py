"""Offhand's Python SDK and the `offhand` command. Needs httpx, typer and rich, and nothing of the service.

::

    import offhand

    with offhand.Client() as client:                             # http://127.0.0.1:8321, or OFFHAND_URL
        job = client.datasets.generate("heads50.zip", "heads64", count=200)
        job = client.jobs.wait(job["id"])
        client.datasets.download(job["result"]["dataset"], into="heads")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offhand.sdk.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    # httpx takes a quarter of a second to import; `offhand --help` must not pay for it.
    if name == "Client":
        from offhand.sdk.client import Client

        return Client
    raise AttributeError(f"module 'offhand' has no attribute {name!r}")
