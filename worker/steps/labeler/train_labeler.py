"""Codes and masks → labeler, trained once per inversion and settings."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.errors import InversionError, Problem
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import LabelSet
from core.labeling.files import LabelerInfo, save_labeler
from core.labeling.labeler import TrainedLabeler
from core.labeling.methods import train_by_method
from store.ids import new_id
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import InversionMade, JobResult, LabelSetMade
from store.requests.inversion import InversionSpec
from store.requests.labeler import LabelingSpec, LearningSpec
from store.requests.sampling import sampling_settings
from store.resources.artifacts import PREFIXES, Made, NewMade, find_made, get_inversion
from store.resources.reports import DroppedImage, InversionReport, LabelerReport, inversion_report
from worker.digests import digest_of, json_values
from worker.loading import REPORT, Source, fitted_labels, load_source
from worker.runtime.step_context import StepContext
from worker.samplers import BoundSampler, bind_sampler
from worker.steps.inversion.invert import refuse_poor_reconstruction
from worker.steps.label_sets.class_collapse import delivered_classes, taught
from worker.steps.labeler.config import LEAST_IMAGES, finished_labeler, labeler_config
from worker.steps.labeler.training_set import training_set_of, usable_mirrors

#: Nothing random reaches a result that other jobs use again.
_SEED = 0
#: Training steps between two checkpoints.
CHECKPOINT_EVERY = 500
#: Without a gate of the caller's own, all images are used where a smaller share would be left.
_LEAST_SHARE = 0.5


def train_labeler(context: StepContext) -> StepResult:
    """Train the labeler, or use an equal one that is there already."""
    request = context.request(LabelingSpec)
    asked, collapse = request.labeler, request.labeler.collapse
    source = load_source(context, request.generator)
    inversion = get_inversion(context.db, context.result(InversionMade).inversion, tenant=context.tenant)
    refuse_poor_reconstruction(context, inversion, force=request.force)
    framed = fitted_labels(context, context.result(LabelSetMade).label_set, source, request)
    learnt, classes = taught(framed, collapse).classes, delivered_classes(framed.classes, collapse)
    report = inversion_report(inversion)
    used, dropped, remark = _chosen(report, request.inversion)
    mirrors = usable_mirrors(report, used, request.inversion.drop_flagged)
    config = labeler_config(asked, learnt, len(used))
    bound = bind_sampler(context, source, sampling_settings(request))
    sampler = bound.sampler
    digest = digest_of(
        {
            "made": "labeler 4",
            "features": sampler.feature_digest,
            "inversion": inversion.digest,
            "images": used,
            "mirrored": mirrors,
            "settings": config.to_json(),
            "finished": asked.model_dump(mode="json", include={"keep_members", "collapse"}),
        }
    )
    equal = find_made(context.db, "labeler", digest, tenant=context.tenant)
    if equal is not None:
        event = NewEvent("labeler.reused", {"labeler": equal.id})
        return StepResult(job_result=JobResult(labeler=equal.id), events=(event,))
    training_set = training_set_of(context, framed, inversion, used, mirrors, collapse)
    labeler = context.resume(
        lambda kept: train_by_method(
            sampler,
            training_set.codes,
            training_set.items,
            learnt.count,
            config,
            origins=training_set.origins,
            run=context.run(source.device, kept, seed=_SEED, checkpoint_every=CHECKPOINT_EVERY),
        )
    )
    labeler = finished_labeler(labeler, asked, learnt)
    trained = _Trained(
        labeler,
        digest,
        mirrored=tuple(framed.items[number].name for number in mirrors),
        dropped=tuple(DroppedImage(name=name, why=why) for name, why in dropped.items()),
        dropping=remark,
    )
    return _store(context, source, bound, framed, classes, inversion, trained)


def _chosen(inversion: InversionReport, asked: InversionSpec) -> tuple[list[int], dict[str, str], str]:
    """Indices of the images to learn from; names of those left out, each with why; and what else is to be said.

    With a gate of the caller's own (`max_lpips`) what it flags goes, and at least two images have to stay: else raises
    InversionError. Without one, all are used where too few would stay.
    """
    rows = inversion.per_image
    poor = {row.name: "; ".join(row.flags) for row in rows if row.flagged}
    everything = list(range(len(rows)))
    if not poor or not asked.drop_flagged:
        return everything, {}, ""
    good = [index for index in everything if not rows[index].flagged]
    if asked.max_lpips is not None:
        if len(good) < LEAST_IMAGES:
            raise InversionError(
                f"only {len(good)} of {len(rows)} labelled images are reconstructed well enough for max_lpips "
                f"{asked.max_lpips:g}, and {LEAST_IMAGES} are needed: raise it, or set drop_flagged to false",
                [Problem(why, name) for name, why in poor.items()],
            )
        return good, poor, ""
    if len(good) < max(LEAST_IMAGES, _LEAST_SHARE * len(rows)):
        return everything, {}, f"{len(poor)} of {len(rows)} images are flagged; all are used, or too few would stay"
    return good, poor, ""


@dataclass(frozen=True)
class _Trained:
    """A new labeler, the digest of its inputs, and which images were mirrored or dropped."""

    labeler: TrainedLabeler
    digest: str
    mirrored: tuple[str, ...]
    dropped: tuple[DroppedImage, ...]
    dropping: str


def _store(
    context: StepContext,
    source: Source,
    bound: BoundSampler,
    labels: LabelSet,
    classes: ClassMap,
    inversion: Made,
    trained: _Trained,
) -> StepResult:
    labeler = trained.labeler
    labeler_id = new_id(PREFIXES["labeler"])
    folder = context.folder / "labeler"
    asked = context.request(LabelingSpec).model_dump(mode="json", include=set(LearningSpec.model_fields))
    report = LabelerReport.of(
        {
            **json_values(next(iter(labeler.reports.values()))),
            "settings": labeler.settings_json(),
            "asked": asked,
            "dropped": trained.dropped,
            "dropping": trained.dropping,
            "mirrored": trained.mirrored,
            "tasks": {task: json_values(one) for task, one in labeler.reports.items()},
        }
    )
    info, held_out = report.to_json(), report.held_out
    about = LabelerInfo(
        classes.to_json(),
        source.info.digest,
        source.generator.family,
        dict(bound.sampler.settings),
        labels.digest,
        scores=info["held_out"] or {},
        keypoints=list(labels.keypoints.names) if labels.keypoints else [],
        depth_unit=labels.depth.unit if labels.depth else "",
    )
    save_labeler(folder, labeler, about)
    files = [context.put(labeler_id, path.name, path, "application/octet-stream") for path in sorted(folder.iterdir())]
    files.append(context.put(labeler_id, REPORT, json.dumps(info, indent=1).encode(), "application/json"))
    parents = {
        "label_set_id": context.result(LabelSetMade).label_set,
        "generator_id": source.row.id,
        "inversion_id": inversion.id,
    }
    score = (
        None
        if held_out is None
        else {"images": held_out.images, "accuracy": held_out.accuracy, "mean_iou": held_out.mean_iou}
    )
    return StepResult(
        files=(*bound.files, *files),
        made=(*bound.made, NewMade("labeler", labeler_id, trained.digest, info, parents)),
        job_result=JobResult(labeler=labeler_id),
        events=(
            NewEvent("labeler.trained", {"labeler": labeler_id, "held_out": score}),
            *((NewEvent("images.dropped", {"images": info["dropped"]}, "warning"),) if report.dropped else ()),
            *((NewEvent("images.kept", {"why": report.dropping}, "warning"),) if report.dropping else ()),
        ),
    )
