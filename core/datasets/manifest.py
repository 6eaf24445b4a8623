"""The manifest of a dataset: what it consists of, written last, from what was committed and never from a listing."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from core.datasets.shards import ShardEntry
from core.label_sets.classes import ClassMap

VERSION = 1


def build_manifest(
    dataset: str,
    shards: Iterable[ShardEntry],
    classes: ClassMap,
    *,
    complete: bool,
    settings: Mapping[str, Any],
    digests: Mapping[str, str],
    files: Iterable[Mapping[str, Any]] = (),
    labels: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest as JSON values.

    ``dataset``: its id or name. ``complete``: whether all that was asked for is there. ``settings``: everything that
    shapes the samples (seed, offset, truncation, filter, …). ``digests``: SHA-256 of generator, label set and labeler.
    ``files``: rows like those of shards (``path, bytes, sha256``) for what else belongs to it (card, pictures).
    ``labels``: what else than classes is labelled: ``tasks``, names of ``keypoints``, unit of ``depth``.
    Shards are listed by path; ``count`` is the sum of their items.
    """
    rows = sorted((shard.to_json() for shard in shards), key=lambda row: str(row["path"]))
    return {
        "version": VERSION,
        "dataset": dataset,
        "complete": complete,
        "count": sum(row["items"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
        **classes.to_json(),
        **(labels or {}),
        "shards": rows,
        "files": sorted((dict(row) for row in files), key=lambda row: str(row["path"])),
        "settings": dict(settings),
        "digests": dict(digests),
    }


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """The manifest as a file; equal manifests give equal bytes."""
    return (json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode()
