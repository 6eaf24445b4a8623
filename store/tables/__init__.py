"""The tables. Times are Unix seconds by the database's clock (`store.database.clock`); ids are `store.ids`.

jobs ─┬─ steps ── shards          a shard is the unit of claiming: owner, attempt, lease
      ├─ events                   append-only log, numbered per job
      └─ datasets                 what a `generate` job makes; dataset_aliases are names that point at one
files                             every object that something refers to; an object without a row is an orphan
uploads, label_sets, image_sets, inversions, encoders, labelers, generators, sampling_statistics
inverted_images               where the code of an image is that was inverted before
outbox, idempotency_keys          written in the transaction that makes the job
tenants, api_keys                 who may ask, and how much they may have
webhook_endpoints ── webhook_deliveries
                                  who is told about ended jobs, and the outbox of what they are told
workers                           when each was heard from last, and which weights it has
"""

from __future__ import annotations

from store.tables.callers import api_keys, tenants, webhook_deliveries, webhook_endpoints
from store.tables.columns import metadata
from store.tables.resources import (
    dataset_aliases,
    datasets,
    encoders,
    files,
    generators,
    image_sets,
    inversions,
    inverted_images,
    label_sets,
    labelers,
    sampling_statistics,
    uploads,
)
from store.tables.work import events, idempotency_keys, jobs, outbox, shards, steps, workers

#: Revision that this program expects; a test holds it to the newest migration.
SCHEMA_REVISION = "0014"

__all__ = [
    "SCHEMA_REVISION",
    "api_keys",
    "dataset_aliases",
    "datasets",
    "encoders",
    "events",
    "files",
    "generators",
    "idempotency_keys",
    "image_sets",
    "inversions",
    "inverted_images",
    "jobs",
    "label_sets",
    "labelers",
    "metadata",
    "outbox",
    "sampling_statistics",
    "shards",
    "steps",
    "tenants",
    "uploads",
    "webhook_deliveries",
    "webhook_endpoints",
    "workers",
]
