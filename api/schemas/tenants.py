"""A tenant's own settings: keys and quota."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.schemas.base import Document, Request
from store.tenancy.api_keys import ApiKey as StoredKey
from store.tenancy.tenants import Quota as StoredQuota

ScopeName = Literal["read", "write", "admin"]


class ApiKeyRequest(Request):
    """A key for a program or a person."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(
        description="Name of its user, to identify it when it is revoked.", examples=["ci"]
    )
    scopes: list[ScopeName] = Field(
        ["read", "write"],
        min_length=1,
        max_length=3,
        description="`read` looks, `write` also changes, `admin` also manages keys; each holds those before it.",
    )
    expires_in_days: Annotated[
        float | None, Field(gt=0, le=3650, allow_inf_nan=False, description="Null: it does not expire by itself.")
    ] = 90.0


class ApiKey(Document):
    """A key. The key itself is shown once, in the answer that made it."""

    id: str = Field(examples=["key_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    name: str
    scopes: list[ScopeName]
    hint: str = Field(description="Its first characters.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class NewApiKey(ApiKey):
    """A key that was just made."""

    key: str | None = Field(description="Keep it now, it is not shown again; null when the request was a repeated one.")


class QuotaItem(Document):
    """One limit."""

    name: str = Field(examples=["queued_jobs"])
    limit: int
    used: int | None = Field(description="Null where use is not added up.")


class QuotaList(Document):
    """Everything that is limited for this tenant."""

    items: list[QuotaItem]


def key_document(key: StoredKey) -> ApiKey:
    """Return the document of an API key, without the key."""
    return ApiKey(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        hint=key.hint,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )


def quota_document(quotas: list[StoredQuota]) -> QuotaList:
    """Return the document of all limits."""
    return QuotaList(items=[QuotaItem(name=q.name, limit=q.limit, used=q.used) for q in quotas])
