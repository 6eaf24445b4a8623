"""A finished dataset → one zip in somebody else's format, kept with the dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from core.callbacks import stop_if_asked
from core.datasets.samples import StoredSample
from core.datasets.shards import read_shard
from core.datasets.training_script import TRAINING_SCRIPT, training_script
from core.formats.export_card import export_card
from core.formats.facts import ExportFacts, Split
from core.formats.package import Writable
from core.formats.writers import export as write_export
from core.formats.writers import split_for
from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.keypoints import KeypointMap
from store.job_kinds.export import ExportSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.resources.datasets import CARD, MANIFEST
from store.resources.exports import export_name
from store.resources.files import File, get_file
from worker.runtime.step_context import StepContext


def export(context: StepContext) -> StepResult:
    """Read the dataset's shards once, in order, and write each sample as it comes."""
    request = context.request(ExportSpec)
    dataset, format, fraction, seed = request.dataset, request.format, request.split, request.split_seed
    manifest = _document(context, dataset, MANIFEST)
    facts = _facts(dataset, json.loads(manifest), split_for(format, fraction, seed))
    card = export_card(_document(context, dataset, CARD).decode(), format, facts)
    documents = {CARD: card.encode(), "offhand/manifest.json": manifest}
    if format == "masks" and facts.classes.names:
        documents[TRAINING_SCRIPT] = training_script()
    facts = replace(facts, documents=documents)
    name = export_name(format, fraction, seed)
    scratch = context.folder / "scratch"
    scratch.mkdir()
    writer = context.start(name)
    try:
        shards = json.loads(manifest)["shards"]
        write_export(format, _samples(context, dataset, shards), facts, cast(Writable, writer), scratch)
        stored = writer.finish()
    finally:
        writer.abort()
    file = File(dataset, name, stored.key, stored.bytes, stored.sha256, "application/zip", items=facts.count)
    summary = {"dataset": dataset, "format": format, "bytes": stored.bytes, "sha256": stored.sha256}
    return StepResult(files=(file,), events=(NewEvent("dataset.exported", summary),))


def _document(context: StepContext, dataset: str, name: str) -> bytes:
    return context.read(get_file(context.db, dataset, name, tenant=context.tenant))


def _facts(dataset: str, manifest: dict[str, Any], split: Split) -> ExportFacts:
    named = {name: manifest[name] for name in ("classes", "ignore_index")}
    points, depth = manifest.get("keypoints"), manifest.get("depth")
    return ExportFacts(
        dataset,
        ClassMap.from_json(named, MANIFEST) if named["classes"] else ClassMap({}, named["ignore_index"]),
        manifest["count"],
        manifest.get("licence", ""),
        keypoints=KeypointMap.from_json(points, MANIFEST) if points else None,
        depth=DepthUnit.from_json(depth, MANIFEST) if depth else None,
        split=split,
    )


def _samples(context: StepContext, dataset: str, shards: list[dict[str, Any]]) -> Iterator[StoredSample]:
    done, total = 0, sum(shard["items"] for shard in shards)
    for shard in shards:
        file = get_file(context.db, dataset, shard["path"], tenant=context.tenant)
        with context.open(file) as source:
            for sample in read_shard(source, file.name):
                stop_if_asked(context.should_stop)
                yield sample
                done += 1
                context.progress(done, total)
    context.progress(total, total)
