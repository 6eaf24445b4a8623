"""A part of the seeded stream: images with labels and uncertainties, as one object of candidates."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

from core.datasets.code_files import code_arrays
from core.datasets.samples import encode_sample
from core.datasets.shards import ShardEntry, ShardWriter
from core.generators.interface import Sampler
from core.label_sets.palette import colours
from core.labeling.labeler import TrainedLabeler
from core.sampling.candidates import CandidateTable
from core.sampling.config import SamplingConfig
from core.sampling.stream import Sample, draw
from core.tasks.keypoints import with_visibility
from store.job_kinds.generate import GenerateSpec
from store.job_kinds.generate_shards import SampleRange, further_shards
from store.jobs.commits import StepResult
from store.jobs.job_result import LabelerMade, LabelSetMade
from store.requests.sampling import sampling_settings
from store.resources.artifacts import get_label_set
from worker.loading import Source, class_map, load_source
from worker.runtime.step_context import StepContext
from worker.samplers import bind_sampler, drawn_classes, load_rejection
from worker.steps.generation.packing import CANDIDATES, SCORES
from worker.steps.label_sets.class_collapse import delivered_classes
from worker.steps.labeler.config import stored_labeler


def sample(context: StepContext) -> StepResult:
    """Draw and label the samples `start` ≤ index < `stop`; the same bytes whoever does it and however often. The
    job's first shard plans the others.
    """
    source = load_source(context, context.request(GenerateSpec).generator)
    labeler = stored_labeler(context, context.result(LabelerMade).labeler, source.device)
    part = SampleRange.of(context.claim.input)
    target = context.folder / "candidates.tar"
    began = time.monotonic()
    scores, entry = _write(context, source, labeler, target)
    further = further_shards(part, time.monotonic() - began, context.settings.worker)
    job, start = context.claim.job_id, part.start
    candidates = context.put(job, f"{CANDIDATES}{start:016d}.tar", target, "application/x-tar", items=entry.items)
    assert candidates.sha256 == entry.sha256
    rows = context.put(job, f"{SCORES}{start:016d}.f64", scores, "application/octet-stream")
    return StepResult(files=(candidates, rows), further=further)


def _write(context: StepContext, source: Source, labeler: TrainedLabeler, target: Path) -> tuple[bytes, ShardEntry]:
    """The candidates' tar; the rows of their scores and class areas."""
    part, request = SampleRange.of(context.claim.input), context.request(GenerateSpec)
    config = SamplingConfig(
        seed=context.claim.seed,
        start=part.start,
        stop=part.stop,
        batch=part.batch,
        with_divergence=True,
        classes=tuple(drawn_classes(source, request.classes)),
    )
    labels = get_label_set(context.db, context.result(LabelSetMade).label_set, tenant=context.tenant)
    classes = delivered_classes(class_map(labels), request.labeler.collapse)
    table = colours(classes)
    scores = io.BytesIO()
    sampler = bind_sampler(context, source, sampling_settings(request)).sampler
    rejection = load_rejection(context, source, request.rejection)
    samples = draw(sampler, labeler, config, context.run(source.device), rejection)
    with target.open("wb") as file:
        writer = ShardWriter(file)
        for one in samples:
            record = _record(one, context, sampler)
            divergence = one.divergence if labeler.class_count else None
            files = encode_sample(one.image, one.mask, code_arrays(one.code), record, table, divergence, one.depth)
            writer.write(one.index, files)
            CandidateTable.write(scores, [one.score], one.class_pixels / one.mask.size)
        entry = writer.finish()
    return scores.getvalue(), entry


def _record(one: Sample, context: StepContext, sampler: Sampler) -> dict[str, Any]:
    """Return the record of a sample: enough to draw it again."""
    record: dict[str, Any] = {
        "index": one.index,
        "seed": context.claim.seed,
        "uncertainty": one.score,
        "family": sampler.generator.family,
        "generator": sampler.generator.info.digest,
        "sampler": sampler.digest,
        "sampling": dict(sampler.settings),
    }
    if one.class_index is not None:
        record["class_index"] = one.class_index
    if one.confidence is not None:
        record["confidence"] = one.confidence
    if len(one.scores) > 1:
        record["uncertainty_by_task"] = one.scores
    if one.keypoints is not None:
        record["keypoints"] = with_visibility(one.keypoints).tolist()
    return record
