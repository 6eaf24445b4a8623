"""Jobs and what drives them: steps, shards, events, the outbox, remembered requests, workers."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from store.tables.columns import ID, JSON_VALUES, SERIAL, metadata, tenant

jobs = Table(
    "jobs",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("kind", ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("spec", JSON_VALUES, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("labels", JSON_VALUES, nullable=False),
    Column("request_id", String(255), nullable=False, server_default=""),
    Column("traceparent", String(64), nullable=False, server_default=""),
    Column("total", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False, server_default="0"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("result", JSON_VALUES, nullable=False),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("error_retryable", Boolean),
    Column("error_problems", JSON_VALUES),
    Column("last_event", Integer, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Index(None, "tenant", "created_at", "id"),
    Index(None, "tenant", "state"),
    Index("ix_jobs_line", "state", "priority", "created_at", "id"),
)

steps = Table(
    "steps",
    metadata,
    Column("job_id", ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(16), nullable=False, server_default="cpu"),
    Column("counts_images", Boolean, nullable=False, server_default=false()),
    Column("fan_out", Boolean, nullable=False, server_default=false()),
    # Whose pace it tells, as its job says: estimates look at the latest of a tenant and generator (empty: none).
    Column("tenant", ID),
    Column("generator", ID),
    Column("started_at", Double),
    Column("finished_at", Double),
    UniqueConstraint("job_id", "name"),
    Index(
        "ix_steps_pace",
        "tenant",
        "generator",
        "name",
        "finished_at",
        sqlite_where=text("finished_at IS NOT NULL"),
        postgresql_where=text("finished_at IS NOT NULL"),
    ),
)

shards = Table(
    "shards",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job_id", ID, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    tenant(),
    Column("step", ID, nullable=False),
    Column("step_position", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(16), nullable=False, server_default="cpu"),
    Column("input", JSON_VALUES, nullable=False),
    Column("owner", String(255)),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("lease_until", Double),
    Column("not_before", Double, nullable=False),
    Column("rung_at", Double),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger, nullable=False, server_default="0"),
    Column("result", JSON_VALUES),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    UniqueConstraint("job_id", "step", "position"),
    Index(None, "job_id", "state"),
    Index("ix_shards_next", "job_id", "state", "step_position", "position", "queue"),
    Index(None, "state", "not_before"),
    Index(None, "state", "lease_until"),
    Index(None, "finished_at"),
)

events = Table(
    "events",
    metadata,
    Column("job_id", ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("level", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("data", JSON_VALUES, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", SERIAL, primary_key=True, autoincrement=True),
    Column("shard_id", ID, nullable=False),
    Column("created_at", Double, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", ID, primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("resource_id", ID, nullable=False),
    Column("answer", JSON_VALUES),
    Column("created_at", Double, nullable=False),
    Index(None, "created_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("seen_at", Double, nullable=False),
    Column("perceptual", Boolean, nullable=True),
)
