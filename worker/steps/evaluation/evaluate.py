"""A dataset, the labels it was made from, and held-out labels → what it is worth, as JSON and as a page."""

from __future__ import annotations

import json
from dataclasses import replace

from core.errors import EvaluationError, OffhandError, Problem
from core.evaluation.arms import EvaluationConfig, EvaluationData
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import Relabelled, ShardImages
from core.evaluation.downstream.schedule import recipe_for
from core.evaluation.gates import Regeneration
from core.evaluation.metrics.published_weights import PublishedWeights
from core.evaluation.quality import evaluate as measure
from core.evaluation.report.dataset_report import report_html
from core.label_sets.label_set import LabelSet
from core.label_sets.reading.reader import read_label_set
from core.label_sets.resize import resize_to
from store.errors import StoreError
from store.job_kinds.evaluate import EvaluateSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import LabelSetMade
from store.resources.artifacts import PREFIXES
from store.resources.evaluations import REPORT_HTML, REPORT_JSON, evaluation_file
from worker.digests import json_values
from worker.loading import load_labels, prepare_torch
from worker.runtime.step_context import StepContext
from worker.steps.evaluation.data import DatasetOrigin, evaluation_data, judged_labels, shards_of
from worker.steps.evaluation.regeneration import Makers, dropped_samples, load_makers, regenerate, relabel
from worker.steps.label_sets.class_collapse import delivered
from worker.steps.label_sets.validate import fetch_upload
from worker.weights.folders import evaluation_folders


def evaluate(context: StepContext) -> StepResult:
    """Train, compare, decide; finished arms, and the net in training, survive an interruption."""
    prepare_torch(context)
    spec = context.request(EvaluateSpec)
    origin = DatasetOrigin.of(context, spec.dataset)
    labelled, held_out, task = judged_labels(context, origin, spec)
    generated = ShardImages(shards_of(context, spec.dataset), task)
    data = evaluation_data(generated, labelled, held_out, task, origin)
    data, regeneration, why_not = _with_redrawn(context, spec, origin, generated, data)
    config = EvaluationConfig(
        _recipe(spec, len(generated)), spec.repeats, tuple(spec.baselines),
        PublishedWeights(evaluation_folders(context.settings)), seed=context.claim.seed,
    )  # fmt: skip
    evaluation = context.resume(
        lambda kept: measure(
            data,
            config,
            regeneration=regeneration,
            why_not_regenerated=why_not,
            run=context.run(context.models.device, kept),
        )
    )
    against = context.result(LabelSetMade).label_set
    about = {"evaluation": context.claim.job_id, "dataset": spec.dataset, "against": against}
    document = json_values({**about, **evaluation.document})
    page = report_html(evaluation, data, f"What is {spec.dataset} worth?")
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False).encode()
    name_json, name_html = (evaluation_file(context.claim.job_id, name) for name in (REPORT_JSON, REPORT_HTML))
    files = (
        context.put(spec.dataset, name_json, text, "application/json"),
        context.put(spec.dataset, name_html, page.encode(), "text/html; charset=utf-8"),
    )
    failed = [gate["name"] for gate in document["gates"] if gate["state"] == "failed"]
    summary = {
        "dataset": spec.dataset,
        "verdict": document["verdict"],
        "recommended": document["recommended"]["arm"],
        "failed": failed,
    }
    return StepResult(files=files, events=(NewEvent("dataset.evaluated", summary),))


def _recipe(spec: EvaluateSpec, images: int) -> DownstreamConfig:
    recipe = recipe_for(spec.preset, images)
    return recipe if spec.steps is None else replace(recipe, steps=spec.steps)


def _with_redrawn(
    context: StepContext, spec: EvaluateSpec, origin: DatasetOrigin, generated: ShardImages, data: EvaluationData
) -> tuple[EvaluationData, Regeneration | None, str]:
    """Return what generator and labeler of the dataset's job can add, where both are still there; else why not."""
    try:
        makers = load_makers(context, origin)
    except (OffhandError, StoreError) as error:
        why_not = f"generator or labeler are missing ({error})"
        if spec.generated_labels is not None:
            raise EvaluationError(
                "labels of generated images cannot be learnt from", [Problem(why_not, "generated_labels")]
            ) from error
        return data, None, why_not
    dropped = dropped_samples(makers, generated, data.scoring.task)
    if dropped is not None:
        data = replace(data, dropped=dropped[0], dropped_uncertainty=dropped[1])
    if spec.generated_labels is not None:
        data = replace(data, relabelled=_relabelled(context, spec.generated_labels, origin, makers, generated, data))
    return data, regenerate(makers, generated), ""


def _relabelled(
    context: StepContext,
    labels_id: str,
    origin: DatasetOrigin,
    makers: Makers,
    generated: ShardImages,
    data: EvaluationData,
) -> Relabelled:
    labels = delivered(_generated_labels(context, labels_id), origin.request.labeler.collapse)
    height, width = data.labelled.images.shape[1:3]
    return relabel(
        makers, generated, resize_to(labels, height, width, "stretch"), len(data.labelled), data.scoring.task,
        context.folder, context.should_stop,
    )  # fmt: skip


def _generated_labels(context: StepContext, labels_id: str) -> LabelSet:
    """Raises LabelSetError as validating does."""
    if labels_id.startswith(PREFIXES["label_set"] + "_"):
        return load_labels(context, labels_id)
    return read_label_set(fetch_upload(context, labels_id), context.folder, should_stop=context.should_stop)
