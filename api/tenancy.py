"""Who is asking. Without keys there is one tenant, and the service listens on loopback."""

from typing import Annotated

from fastapi import Depends

from store import tenants


def _tenant() -> str:
    return tenants.LOCAL


Tenant = Annotated[str, Depends(_tenant)]
