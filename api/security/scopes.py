"""Tenant and scope of a request. Without keys there is one tenant, and the service listens on loopback."""

from typing import Annotated

from fastapi import Depends, Request

from api.protocol.errors import ApiError
from store.tenancy.api_keys import Caller, Scope


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _tenant(caller: Annotated[Caller, Depends(_caller)]) -> str:
    return caller.tenant


def demand(caller: Caller, scope: Scope) -> None:
    """Raise 403 unless the caller's key has the scope."""
    if scope not in caller.scopes:
        raise ApiError("insufficient_scope", f"This needs a key with the scope `{scope}`.")


async def _admin(caller: Annotated[Caller, Depends(_caller)]) -> str:
    demand(caller, "admin")
    return caller.tenant


Tenant = Annotated[str, Depends(_tenant)]
#: The tenant, of a caller who may manage its keys.
AdminTenant = Annotated[str, Depends(_admin)]
