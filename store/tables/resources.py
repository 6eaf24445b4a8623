"""Tables of what callers bring and jobs make: objects, uploads, generators, things made once, datasets."""

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
)

from store.tables.columns import ID, JSON_VALUES, metadata, tenant

files = Table(
    "files",
    metadata,
    Column("key", String(512), primary_key=True),
    tenant(),
    Column("resource_id", ID, nullable=False),
    Column("name", String(255), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("items", BigInteger),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("resource_id", "name"),
    Index(None, "tenant", "bytes"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("filename", String(255), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("completed_at", Double),
    Column("expires_at", Double),
    # Of parts that callers send straight to the object store.
    Column("part_bytes", BigInteger),
    Column("multipart", Text),
    Index(None, "tenant", "created_at", "id"),
)

generators = Table(
    "generators",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", ID),
    Column("name", ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("builtin", Boolean, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("licence", Text, nullable=False),
    Column("info", JSON_VALUES, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("tenant", "name"),
)


def _digested(name: str, *columns: Column[str]) -> Table:
    """A thing that is made once per digest of everything that went into it, and then used again."""
    return Table(
        name,
        metadata,
        Column("id", ID, primary_key=True),
        tenant(),
        Column("digest", String(64), nullable=False),
        *columns,
        Column("info", JSON_VALUES, nullable=False),
        Column("created_at", Double, nullable=False),
        UniqueConstraint("tenant", "digest"),
    )


label_sets = _digested("label_sets")
inversions = _digested(
    "inversions", Column("label_set_id", ID, nullable=False), Column("generator_id", ID, nullable=False)
)
inverted_images = Table(
    "inverted_images",
    metadata,
    Column("tenant", ID, primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("inversion_id", ID, nullable=False),
    Column("position", Integer, nullable=False),
)
encoders = _digested("encoders", Column("generator_id", ID, nullable=False), Column("label_set_id", ID))
labelers = _digested(
    "labelers",
    Column("label_set_id", ID, nullable=False),
    Column("generator_id", ID, nullable=False),
    Column("inversion_id", ID, nullable=False),
)

sampling_statistics = _digested("sampling_statistics", Column("generator_id", ID, nullable=False))

image_sets = Table(
    "image_sets",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("name", ID, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("licence", Text, nullable=False),
    Column("info", JSON_VALUES, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("tenant", "name"),
    Index(None, "tenant", "created_at", "id"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", ID, primary_key=True),
    tenant(),
    Column("job_id", ID, ForeignKey("jobs.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("info", JSON_VALUES, nullable=False),
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
    Column("tenant", ID, primary_key=True),
    Column("name", ID, primary_key=True),
    Column("dataset_id", ID, nullable=False),
    Column("moved_at", Double, nullable=False),
)
