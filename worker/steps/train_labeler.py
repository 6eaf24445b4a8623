"""Codes and masks → labeler, trained once per inversion and settings; then the plan of the samples to draw."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from core.datasets.label_set import LabelSet
from core.labeling.config import LabelerConfig
from core.labeling.files import LabelerInfo, save_labeler
from core.labeling.labeler import Labeler
from core.labeling.training import train_ensemble
from core.sampling.filtering import candidates_needed
from store.ids import new_id
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.shards import ShardPlan
from store.made import PREFIXES, Made, NewMade, find_made, get_inversion
from worker.context import StepContext
from worker.digests import digest_of, json_values
from worker.sources import REPORT, Source, fitted_labels, load_latents, load_source

#: Nothing random reaches a result that other jobs use again.
_SEED = 0
#: Training steps between two checkpoints.
CHECKPOINT_EVERY = 500
#: With fewer images left than this after dropping the poor ones, all are used: there would be too little to learn from.
_LEAST_IMAGES = 2
_LEAST_SHARE = 0.5


def train_labeler(context: StepContext) -> StepResult:
    """Train the labeler, or use an equal one that is there already, and plan the shards of the sampling step."""
    source = load_source(context)
    inversion = get_inversion(context.db, context.claim.result["inversion"], tenant=context.tenant)
    labels = fitted_labels(context, context.claim.result["label_set"], source)
    used, dropped = _chosen(inversion, drop_flagged=context.spec["inversion"]["drop_flagged"])
    config = _config(context, labels, len(used))
    digest = digest_of(
        {"made": "labeler 1", "inversion": inversion.digest, "images": used, "settings": config.to_json()}
    )
    plan = _plan(context)
    equal = find_made(context.db, "labeler", digest, tenant=context.tenant)
    if equal is not None:
        event = NewEvent("labeler.reused", {"labeler": equal.id})
        return StepResult(job_result={"labeler": equal.id}, events=(event,), fan_out=plan)
    labeler = train_ensemble(
        source.network,
        load_latents(context, inversion.id)[used],
        torch.from_numpy(np.stack([labels.items[index].mask for index in used])),
        labels.classes.count,
        config,
        noise=source.info.noise,
        device=source.device,
        seed=_SEED,
        progress=context.progress,
        should_stop=context.should_stop,
        checkpoint=context.save_checkpoint,
        checkpoint_every=CHECKPOINT_EVERY,
        resume_from=context.load_checkpoint(),
    )
    return _store(context, source, labels, inversion, labeler, digest, dropped, plan)


def _chosen(inversion: Made, *, drop_flagged: bool) -> tuple[list[int], list[str]]:
    """Indices of the images to learn from, and names of those left out because their reconstruction is poor."""
    rows = inversion.info["per_image"]
    good = [index for index, row in enumerate(rows) if not row["flagged"]]
    if not drop_flagged or len(good) < max(_LEAST_IMAGES, _LEAST_SHARE * len(rows)):
        return list(range(len(rows))), []
    return good, [row["name"] for row in rows if row["flagged"]]


def _config(context: StepContext, labels: LabelSet, images: int) -> LabelerConfig:
    asked = context.spec["labeler"]
    held_out = min(round(asked["held_out"] * images), images - _LEAST_IMAGES)
    values: dict[str, Any] = {
        "preset": asked["preset"],
        "ignore_index": labels.classes.ignore_index,
        "held_out": max(0, held_out),
    }
    if asked["members"] is not None:
        values["members"] = asked["members"]
    return LabelerConfig.from_json(values)


def _plan(context: StepContext) -> tuple[ShardPlan, ...]:
    """Shards of candidates that begin and end at multiples of the batch: their images do not depend on the cut."""
    worker, offset = context.settings.worker, context.spec["offset"]
    stop = offset + candidates_needed(context.spec["count"], context.spec["drop_fraction"])
    batch = worker.batch
    step = max(1, worker.shard_images // batch) * batch
    bounds = [offset, *range((offset // step + 1) * step, stop, step), stop]
    return tuple(
        ShardPlan({"start": start, "stop": end, "batch": batch}, end - start) for start, end in pairwise(bounds)
    )


def _store(
    context: StepContext,
    source: Source,
    labels: LabelSet,
    inversion: Made,
    labeler: Labeler,
    digest: str,
    dropped: list[str],
    plan: tuple[ShardPlan, ...],
) -> StepResult:
    labeler_id = new_id(PREFIXES["labeler"])
    folder = context.folder / "labeler"
    report = json_values(labeler.report)
    held_out = report["held_out"] or {}
    about = LabelerInfo(labels.classes.to_json(), source.info.digest, labels.digest, held_out)
    save_labeler(folder, labeler, about)
    info = {"settings": labeler.config.to_json(), "dropped": dropped, **report}
    files = [context.put(labeler_id, path.name, path, "application/octet-stream") for path in sorted(folder.iterdir())]
    files.append(context.put(labeler_id, REPORT, json.dumps(info, indent=1).encode(), "application/json"))
    parents = {
        "label_set_id": context.claim.result["label_set"],
        "generator_id": source.row.id,
        "inversion_id": inversion.id,
    }
    score = {key: held_out.get(key) for key in ("images", "accuracy", "mean_iou")} if held_out else None
    return StepResult(
        files=tuple(files),
        made=(NewMade("labeler", labeler_id, digest, info, parents),),
        job_result={"labeler": labeler_id},
        fan_out=plan,
        events=(
            NewEvent("labeler.trained", {"labeler": labeler_id, "held_out": score}),
            *((NewEvent("images.dropped", {"images": dropped}, "warning"),) if dropped else ()),
        ),
    )
