"""The service's own steps, but for a sampler that draws nothing: it hands out the same few pictures again and again."""

from __future__ import annotations

import functools
import io
import json
import time
from typing import Any

import numpy as np

from core.callbacks import stop_if_asked
from core.datasets.samples import RECORD, encode_sample
from core.datasets.shards import ShardEntry, ShardWriter
from core.sampling.candidates import CandidateTable
from store.job_kinds.generate_shards import SampleRange, further_shards
from store.jobs.commits import StepResult
from worker.runtime.step_context import StepContext
from worker.steps import STEPS as SERVICE_STEPS
from worker.steps.generation.packing import CANDIDATES, SCORES

_SIDE, _CLASSES, _PICTURES = 16, 2, 64
#: Samples between two checks for a stop request, and rows written at once.
_ROUND = 1000


def sample(context: StepContext) -> StepResult:
    """What `worker.steps.generation.sample` stores, without a generator and a labeler."""
    part = SampleRange.of(context.claim.input)
    began = time.monotonic()
    target, rows = context.folder / "candidates.tar", io.BytesIO()
    with target.open("wb") as file:
        entry = _write(context, ShardWriter(file), rows)
    further = further_shards(part, time.monotonic() - began, context.settings.worker)
    job, start = context.claim.job_id, part.start
    files = (
        context.put(job, f"{CANDIDATES}{start:016d}.tar", target, "application/x-tar", items=entry.items),
        context.put(job, f"{SCORES}{start:016d}.f64", rows.getvalue(), "application/octet-stream"),
    )
    return StepResult(files=files, further=further)


def _write(context: StepContext, writer: ShardWriter, rows: io.BytesIO) -> ShardEntry:
    part = SampleRange.of(context.claim.input)
    for first in range(part.start, part.stop, _ROUND):
        stop_if_asked(context.should_stop)
        indices = np.arange(first, min(part.stop, first + _ROUND))
        scores = np.random.default_rng([context.claim.seed, first]).random(len(indices))
        for index, score in zip(indices.tolist(), scores.tolist(), strict=True):
            files, record, _ = _picture(index % _PICTURES)
            writer.write(
                index, {**files, RECORD: json.dumps({**record, "index": index, "uncertainty": score}).encode()}
            )
        CandidateTable.write(rows, scores.tolist(), [_picture(index % _PICTURES)[2] for index in indices.tolist()])
        context.progress(first + len(indices) - part.start, part.stop - part.start)
    return writer.finish()


@functools.cache
def _picture(number: int) -> tuple[dict[str, bytes], dict[str, Any], list[float]]:
    """Files of a sample, its record, and the share of each class."""
    random = np.random.default_rng(number)
    image = random.integers(0, 255, (_SIDE, _SIDE, 3), np.uint8)
    mask = (random.random((_SIDE, _SIDE)) < random.random()).astype(np.uint8)
    latent = random.standard_normal((6, 16), np.float32)
    uncertainty = random.random((_SIDE, _SIDE), np.float32)
    files = encode_sample(image, mask, latent, {}, np.zeros((256, 3), np.uint8), uncertainty)
    areas = [float((mask == class_id).mean()) for class_id in range(_CLASSES)]
    return files, json.loads(files[RECORD]), areas


STEPS = {**SERVICE_STEPS, "sample": sample}
