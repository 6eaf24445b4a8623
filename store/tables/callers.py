"""Tables of callers: tenants, API keys, webhooks."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, String, Table, UniqueConstraint

from store.tables.columns import ID, JSON_VALUES, metadata, tenant

tenants = Table(
    "tenants",
    metadata,
    Column("id", ID, primary_key=True),
    Column("limits", JSON_VALUES, nullable=False),
    Column("created_at", Double, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("name", String(255), nullable=False),
    Column("scopes", JSON_VALUES, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("hint", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
    UniqueConstraint("digest"),
    Index(None, "tenant", "created_at", "id"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("url", String(2000), nullable=False),
    Column("description", String(255), nullable=False),
    Column("events", JSON_VALUES, nullable=False),
    Column("secrets", JSON_VALUES, nullable=False),
    Column("disabled_reason", String(255)),
    Column("created_at", Double, nullable=False),
    Index(None, "tenant", "created_at", "id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("endpoint_id", ID, nullable=False),
    Column("message_id", ID, nullable=False),
    Column("type", String(64), nullable=False),
    Column("payload", JSON_VALUES, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("attempts", JSON_VALUES, nullable=False),
    Column("next_at", Double),
    Column("leased_until", Double),
    Column("created_at", Double, nullable=False),
    Index(None, "endpoint_id", "created_at", "id"),
    Index(None, "state", "next_at"),
)
