"""The tables. Times are Unix seconds by the database's clock (`store.clock`); ids are `store.ids`.

jobs ─┬─ steps ── shards          a shard is the unit of claiming: owner, attempt, lease
      ├─ events                   append-only log, numbered per job
      └─ datasets                 what a `generate` job makes; dataset_aliases are names that point at one
files                             every object that something refers to; an object without a row is an orphan
uploads, label_sets, inversions, encoders, labelers, generators
inverted_images               where the code of an image is that was inverted before
outbox, idempotency_keys          written in the transaction that makes the job
tenants, api_keys                 who may ask, and how much they may have
webhook_endpoints ── webhook_deliveries
                                  who is told about ended jobs, and the outbox of what they are told
workers                           when each was heard from last
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB

#: Revision that this program expects; a test holds it to the newest migration.
SCHEMA_REVISION = "0008"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID = String(64)
_JSON = JSON().with_variant(JSONB(), "postgresql")
# SQLite only counts up an INTEGER PRIMARY KEY.
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")


def _tenant() -> Column[str]:
    return Column("tenant", _ID, nullable=False)


jobs = Table(
    "jobs",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("kind", _ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("spec", _JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("labels", _JSON, nullable=False),
    Column("request_id", String(255), nullable=False, server_default=""),
    Column("total", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False, server_default="0"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("result", _JSON, nullable=False),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("error_retryable", Boolean),
    Column("error_problems", _JSON),
    Column("last_event", Integer, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Index(None, "tenant", "created_at", "id"),
    Index(None, "state"),
)

steps = Table(
    "steps",
    metadata,
    Column("job_id", _ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", _ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(16), nullable=False, server_default="cpu"),
    Column("counts_images", Boolean, nullable=False, server_default=false()),
    Column("fan_out", Boolean, nullable=False, server_default=false()),
    Column("started_at", Double),
    Column("finished_at", Double),
    UniqueConstraint("job_id", "name"),
)

shards = Table(
    "shards",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("job_id", _ID, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    _tenant(),
    Column("step", _ID, nullable=False),
    Column("step_position", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(16), nullable=False, server_default="cpu"),
    Column("input", _JSON, nullable=False),
    Column("owner", String(255)),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("lease_until", Double),
    Column("not_before", Double, nullable=False),
    Column("rung_at", Double),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger, nullable=False, server_default="0"),
    Column("result", _JSON),
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
    Column("job_id", _ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("level", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("data", _JSON, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("shard_id", _ID, nullable=False),
    Column("created_at", Double, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", _ID, primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("resource_id", _ID, nullable=False),
    Column("answer", _JSON),
    Column("created_at", Double, nullable=False),
    Index(None, "created_at"),
)

files = Table(
    "files",
    metadata,
    Column("key", String(512), primary_key=True),
    _tenant(),
    Column("resource_id", _ID, nullable=False),
    Column("name", String(255), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("items", BigInteger),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("resource_id", "name"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("filename", String(255), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("completed_at", Double),
    Column("expires_at", Double),
    Index(None, "tenant", "created_at", "id"),
)

generators = Table(
    "generators",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant", _ID),
    Column("name", _ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("builtin", Boolean, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("licence", Text, nullable=False),
    Column("info", _JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("tenant", "name"),
)


def _digested(name: str, *columns: Column[str]) -> Table:
    """A thing that is made once per digest of everything that went into it, and then used again."""
    return Table(
        name,
        metadata,
        Column("id", _ID, primary_key=True),
        _tenant(),
        Column("digest", String(64), nullable=False),
        *columns,
        Column("info", _JSON, nullable=False),
        Column("created_at", Double, nullable=False),
        UniqueConstraint("tenant", "digest"),
    )


label_sets = _digested("label_sets")
inversions = _digested(
    "inversions", Column("label_set_id", _ID, nullable=False), Column("generator_id", _ID, nullable=False)
)
inverted_images = Table(
    "inverted_images",
    metadata,
    Column("tenant", _ID, primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("inversion_id", _ID, nullable=False),
    Column("position", Integer, nullable=False),
)
encoders = _digested("encoders", Column("generator_id", _ID, nullable=False), Column("label_set_id", _ID))
labelers = _digested(
    "labelers",
    Column("label_set_id", _ID, nullable=False),
    Column("generator_id", _ID, nullable=False),
    Column("inversion_id", _ID, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("job_id", _ID, ForeignKey("jobs.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("info", _JSON, nullable=False),
    Column("pinned", Boolean, nullable=False, server_default=false()),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Column("deleted_at", Double),
    UniqueConstraint("job_id"),
    Index(None, "tenant", "created_at", "id"),
)

dataset_aliases = Table(
    "dataset_aliases",
    metadata,
    Column("tenant", _ID, primary_key=True),
    Column("name", _ID, primary_key=True),
    Column("dataset_id", _ID, nullable=False),
    Column("moved_at", Double, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("limits", _JSON, nullable=False),
    Column("created_at", Double, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("name", String(255), nullable=False),
    Column("scopes", _JSON, nullable=False),
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
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("url", String(2000), nullable=False),
    Column("description", String(255), nullable=False),
    Column("events", _JSON, nullable=False),
    Column("secrets", _JSON, nullable=False),
    Column("disabled_reason", String(255)),
    Column("created_at", Double, nullable=False),
    Index(None, "tenant", "created_at", "id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("endpoint_id", _ID, nullable=False),
    Column("message_id", _ID, nullable=False),
    Column("type", String(64), nullable=False),
    Column("payload", _JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("attempts", _JSON, nullable=False),
    Column("next_at", Double),
    Column("leased_until", Double),
    Column("created_at", Double, nullable=False),
    Index(None, "endpoint_id", "created_at", "id"),
    Index(None, "state", "next_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("seen_at", Double, nullable=False),
)
