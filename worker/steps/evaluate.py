"""A dataset, the labels it was made from, and held-out labels → what it is worth, as JSON and as a page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.datasets.label_set import LabelSet
from core.errors import EvaluationError, LabelerError, OffhandError, Problem
from core.evaluation.arms import EvaluationConfig, EvaluationData
from core.evaluation.downstream.config import PRESETS, DownstreamConfig
from core.evaluation.downstream.images import ArrayImages, ShardImages
from core.evaluation.gates import Regeneration
from core.evaluation.quality import evaluate as measure
from core.evaluation.report import report_html
from core.generators.stylegan2 import Generator
from core.labeling.files import load_labeler
from core.labeling.labeler import Labeler
from core.sampling.stream import draw_codes
from store.datasets import get_dataset
from store.errors import StoreError
from store.evaluations import REPORT_HTML, REPORT_JSON, evaluation_file
from store.files import list_files
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.views import Job, job_view
from store.specs import EvaluateSpec
from worker.context import StepContext
from worker.digests import json_values
from worker.framing import framed
from worker.sources import load_labels, load_source, prepare_torch

#: Samples drawn again from their latents.
_REDRAWN = 32


def evaluate(context: StepContext) -> StepResult:
    """Train, compare, decide; finished arms survive an interruption."""
    prepare_torch(context)
    spec = EvaluateSpec.model_validate(context.spec)
    made_by = job_view(
        context.db, get_dataset(context.db, spec.dataset, tenant=context.tenant).job_id, tenant=context.tenant
    )
    generated = ShardImages(_shards(context, spec.dataset))
    data = _data(context, made_by, generated)
    regeneration, why_not = _regeneration(context, made_by, generated)
    evaluation = measure(
        data,
        EvaluationConfig(_recipe(spec), spec.repeats, tuple(spec.baselines), seed=context.claim.seed),
        regeneration=regeneration,
        why_not_regenerated=why_not,
        device=context.models.device,
        progress=context.progress,
        should_stop=context.should_stop,
        checkpoint=context.save_checkpoint,
        resume_from=context.load_checkpoint(),
    )
    about = {"evaluation": context.claim.job_id, "dataset": spec.dataset, "against": context.claim.result["label_set"]}
    document = json_values({**about, **evaluation.document})
    page = report_html(evaluation, data, f"What is {spec.dataset} worth?")
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False).encode()
    name_json, name_html = (evaluation_file(context.claim.job_id, name) for name in (REPORT_JSON, REPORT_HTML))
    files = (
        context.put(spec.dataset, name_json, text, "application/json"),
        context.put(spec.dataset, name_html, page.encode(), "text/html; charset=utf-8"),
    )
    failed = [gate["name"] for gate in document["gates"] if gate["state"] == "failed"]
    summary = {"dataset": spec.dataset, "verdict": document["verdict"], "failed": failed}
    return StepResult(files=files, events=(NewEvent("dataset.evaluated", summary),))


def _recipe(spec: EvaluateSpec) -> DownstreamConfig:
    recipe = PRESETS[spec.preset]
    return recipe if spec.steps is None else replace(recipe, steps=spec.steps)


def _shards(context: StepContext, dataset: str) -> list[Path]:
    folder = context.folder / "dataset"
    folder.mkdir()
    listed = list_files(context.db, dataset, tenant=context.tenant, prefix="shards/")
    return [context.fetch(dataset, file.name, into=folder) for file in listed]


def _data(context: StepContext, made_by: Job, generated: ShardImages) -> EvaluationData:
    labelled = load_labels(context, made_by.result["label_set"])
    held_out = load_labels(context, context.claim.result["label_set"])
    problems = []
    if labelled.classes.to_json() != held_out.classes.to_json():
        problems.append(Problem("its classes are not those of the dataset's labels", "labels"))
    height, width = generated.take(np.array([0]))[0].shape[1:3]
    first, second = (framed(one, (height, width), made_by.spec) for one in (labelled, held_out))
    seen = {_digest(item.image) for item in first.items}
    known = [item.name for item in second.items if _digest(item.image) in seen]
    if known:
        named = ", ".join(known[:5])
        problems.append(Problem(f"{len(known)} images also made the dataset ({named}): they cannot judge it", "labels"))
    if problems:
        raise EvaluationError("this dataset cannot be judged by these labels", problems)
    uncertainty = np.array([float(generated.sample(one).record()["uncertainty"]) for one in range(len(generated))])
    names = tuple(item.name for item in first.items)
    return EvaluationData(labelled.classes, generated, uncertainty, _arrays(first), _arrays(second), names)


def _arrays(labels: LabelSet) -> ArrayImages:
    return ArrayImages(np.stack([item.image for item in labels.items]), np.stack([item.mask for item in labels.items]))


def _digest(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def _regeneration(context: StepContext, made_by: Job, generated: ShardImages) -> tuple[Regeneration | None, str]:
    """Draw stored samples again with the generator and labeler of the dataset's job, where both are still there."""
    before = replace(context, claim=replace(context.claim, spec=made_by.spec, result=made_by.result))
    try:
        source = load_source(before)
        labeler = _labeler(before, source.device)
        return _redrawn(source.network, labeler, generated, source.device, context.settings.worker.batch), ""
    except (OffhandError, StoreError) as error:
        return None, f"generator or labeler are not at hand ({error})"


def _labeler(context: StepContext, device: str) -> Labeler:
    labeler_id = context.claim.result.get("labeler")
    if labeler_id is None:
        raise LabelerError("the dataset's job names no labeler")

    def load() -> Labeler:
        folder = context.folder / labeler_id
        context.fetch_all(labeler_id, folder)
        return load_labeler(folder, device).labeler

    return context.models.get(f"labeler {labeler_id} {device}", load)


def _redrawn(network: Generator, labeler: Labeler, generated: ShardImages, device: str, batch: int) -> Regeneration:
    """Whole batches of the size that made them: the last bit of a sum may depend on it."""
    count = min(_REDRAWN, len(generated))
    places = np.linspace(0, len(generated) - 1, count).astype(np.int64)
    images, masks = generated.take(places)
    latents = np.stack([generated.sample(int(one)).latent() for one in places])
    differ = np.zeros((2, count), bool)
    for start in range(0, count, batch):
        rows = np.arange(start, start + batch) % count
        codes = torch.from_numpy(latents[rows]).to(device)
        drawn, labels = draw_codes(network, labeler, codes, (masks.shape[1], masks.shape[2]))
        for row in range(min(batch, count - start)):
            differ[0, start + row] = not np.array_equal(drawn[row].cpu().numpy(), images[start + row])
            differ[1, start + row] = not np.array_equal(labels.mask[row].cpu().numpy(), masks[start + row])
    return Regeneration(count, int(differ[0].sum()), int(differ[1].sum()))
