"""Image set → generator, in a chain of short items: each trains on, and stores the best generator so far."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from core.errors import OtherReleaseError, Problem, ResumeError
from core.evaluation.generator_quality import GeneratorQuality
from core.generators.families import trainer_of
from core.generators.files import DESCRIPTION, WEIGHTS, save_generator
from core.generators.interface import Generator, GeneratorInfo
from core.generators.training import Reaction, StartFiles, Trainer, TrainingData, TrainingPlan, TrainingPoint
from core.run import Run
from core.training.generator_report import drawn_samples, held_out_quality, quality_summary
from core.training.images import PackedImages
from core.visualization.generator_preview import preview
from core.visualization.training_pictures import MOST_SAMPLES, curves_picture, sample_grid
from store.errors import NotFound
from store.ids import new_id
from store.job_kinds.train_generator import TrainGeneratorSpec
from store.jobs.chains import is_continued
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.resources.files import File, list_files
from store.resources.generators import (
    CURVES,
    PREVIEW,
    SAMPLES,
    TRAINED,
    TRAINING,
    GeneratorState,
    NewGenerator,
    get_generator,
)
from store.resources.image_sets import ImageSet, get_image_set
from worker.digests import json_values
from worker.loading import load_images, load_source, prepare_torch
from worker.runtime.step_context import StepContext
from worker.steps.generators.quality_report import quality_files
from worker.steps.label_sets.training_overlap import keep_indices

#: Seconds of an item at most.
LONGEST_ITEM = 600.0
#: Where fetching the images takes longer than a second, an item lasts so many times as long.
_TIMES_FETCHING = 9.0
#: Files beside a generator that a training from it is given.
_COMPANIONS = (".safetensors",)
_HOUR = 3600.0
_REACTION = ("sign", "detail", "advice", "action")


@dataclass(frozen=True)
class _Source:
    """Images of a training, and facts about them."""

    row: ImageSet
    images: PackedImages


def train_generator(context: StepContext) -> StepResult:
    """Train until the item's time is over or the training ends. Raises what the family's trainer raises."""
    prepare_torch(context)
    begun = time.monotonic()
    spec = context.request(TrainGeneratorSpec)
    row = get_image_set(context.db, spec.images, tenant=context.tenant)
    source = _Source(row, load_images(context, spec.images))
    lasts = _item_seconds(context, time.monotonic() - begun)
    trainer = _trainer(context, spec, source)
    points = [
        replace(point, samples=point.samples[:MOST_SAMPLES])
        for point in trainer.train(lambda: time.monotonic() - begun >= lasts)
    ]
    events = _events(points, trainer, first=not is_continued(context.claim.input))
    if trainer.finished:
        result = _stored(context, spec, source, trainer, points)
        facts = {"generator": result.job_result.generator, "ended": trainer.report()["ended"]}
        return replace(result, events=(*events, NewEvent("generator.trained", facts)))
    stored = StepResult() if trainer.best_figures is None else _stored(context, spec, source, trainer, points)
    spent, left = round(time.monotonic() - begun), round(trainer.seconds_left or 0)
    later = context.continue_later(trainer.state(), done=max(1, spent), left=max(1, left))
    return replace(stored, next_item=later.next_item, events=events)


def _item_seconds(context: StepContext, fetching: float) -> float:
    """Return how long an item lasts: longer where its images are many, so that most of it is training."""
    usual = context.settings.worker.shard_seconds
    return usual if fetching < 1 else min(max(LONGEST_ITEM, usual), max(usual, _TIMES_FETCHING * fetching))


def _trainer(context: StepContext, spec: TrainGeneratorSpec, source: _Source) -> Trainer:
    """Return the training, continued from the item or the attempt before. Raises OtherReleaseError where this release
    cannot read its state, which is then kept.
    """
    kept = context.load_checkpoint()
    continued = is_continued(context.claim.input)
    if continued and kept is None:
        detail = "the state of the training is damaged: train on from the best generator so far in a new job"
        raise ResumeError(detail, [Problem("expected the state of the item before", "checkpoint")])
    seconds = None if spec.hours is None else spec.hours * _HOUR
    plan = TrainingPlan(spec.training_settings(source.row.flips), spec.kimg, seconds, _start(context, spec))
    data = TrainingData(source.images.training, source.images.held_out)
    run = context.run(context.models.device, kept, seed=context.claim.seed)
    try:
        return trainer_of(spec.family)(data, plan, run)
    except ResumeError as error:
        if continued:
            detail = (
                "the training was begun by a worker of another release, whose state this one cannot read; nothing is "
                "lost: let a worker of that release continue (POST /v1/jobs/{id}/resume), or train on from the best "
                "generator so far in a new job"
            )
            raise OtherReleaseError(detail, error.problems) from None
        return trainer_of(spec.family)(data, plan, replace(run, resume_from=None))


def _start(context: StepContext, spec: TrainGeneratorSpec) -> StartFiles | None:
    if spec.generator is None:
        return None
    source = load_source(context, spec.generator)
    known = (WEIGHTS, "encoder.safetensors", "perceptual.safetensors")
    names = [
        file.name
        for file in list_files(context.db, source.row.id, tenant=context.tenant)
        if file.name.endswith(_COMPANIONS) and file.name not in known
    ]
    folder = context.folder / "companions"
    folder.mkdir(exist_ok=True)
    content = {name: context.fetch(source.row.id, name, into=folder).read_bytes() for name in names}
    return StartFiles(source.generator, content)


def _events(points: list[TrainingPoint], trainer: Trainer, *, first: bool) -> tuple[NewEvent, ...]:
    """Return warnings of the points, in the first item with the estimate."""
    found = []
    if first and trainer.seconds_left is not None:
        facts = trainer.report()
        pace = {"images_per_second": facts["images_per_second"], "sizes": facts["sizes"]}
        found.append(NewEvent("generator.training_estimated", {"seconds_left": round(trainer.seconds_left), **pace}))
    found += [
        NewEvent(
            "generator.training_warning",
            {"text": str(reaction), "sign": reaction.sign, "images": point.figures["images"]},
            "warning",
        )
        for point in points
        for reaction in point.reactions
    ]
    return tuple(found)


def _stored(
    context: StepContext,
    spec: TrainGeneratorSpec,
    source: _Source,
    trainer: Trainer,
    points: list[TrainingPoint],
) -> StepResult:
    """Return the best generator so far with its files; in the job's last item with its quality and a preview."""
    state: GeneratorState = "ready" if trainer.finished else "training"
    generator_id, folder = _generator_id(context), context.folder / "generator"
    info = GeneratorInfo(spec.name, licence=spec.licence or source.images.licence, domain=spec.domain)
    generator = trainer.generator(info)
    info = save_generator(folder, generator)
    found = _report(context, spec, source, trainer)
    report_files: tuple[File, ...] = ()
    if state == "ready":
        quality = _quality(context, spec, source, generator.with_info(info))
        found |= {"quality": quality_summary(quality)}
        report_files = quality_files(context, generator_id, info.name, quality, source.images, source.row)
    report = json_values(found)
    files = [
        context.put(generator_id, DESCRIPTION, folder / DESCRIPTION, "application/json"),
        context.put(generator_id, WEIGHTS, folder / WEIGHTS, "application/octet-stream"),
        context.put(generator_id, TRAINING, json.dumps(report, indent=1).encode(), "application/json"),
        context.put(generator_id, CURVES, curves_picture(report["curves"]), "image/png"),
        *(
            context.put(generator_id, name, content, "application/octet-stream")
            for name, content in sorted(trainer.companions().items())
        ),
        *keep_indices(context, generator_id, source.row.id, spec.generator),
        *_pictures(context, generator_id, generator, report, points[-1].samples if points else None, state),
        *report_files,
    ]
    summary = {name: value for name, value in report.items() if name not in ("curves", "settings", "new_weights")}
    description = json.loads((folder / DESCRIPTION).read_text("utf-8")) | {TRAINED: summary}
    height, width = generator.resolution
    made = NewGenerator(generator_id, info.name, info.digest, height, width, info.licence, description, state)
    return StepResult(files=tuple(files), generator=made, job_result=JobResult(generator=generator_id))


def _generator_id(context: StepContext) -> str:
    """Return the id of the generator that earlier items stored; a new one at first, and after a failed job."""
    known = context.claim.result.generator
    if known is not None:
        try:
            if get_generator(context.db, known, tenant=context.tenant).state == "training":
                return str(known)
        except NotFound:
            pass
    return new_id("gen")


def _report(context: StepContext, spec: TrainGeneratorSpec, source: _Source, trainer: Trainer) -> dict[str, Any]:
    """Return the training report without quality: JSON values."""
    row = source.row
    return {
        **(report := trainer.report()),
        "warnings": _warnings(report),
        "job": context.claim.job_id,
        "preset": spec.preset,
        "image_set": {
            "id": row.id,
            "name": row.name,
            "digest": row.digest,
            "images": row.images,
            "classes": dict(row.classes),
            "fit": row.fit,
            "mirrored": bool(spec.training_settings(row.flips).get("flip", False)),
            "licence": row.licence,
        },
    }


def _warnings(report: dict[str, Any]) -> list[str]:
    """Return the warnings of the training in sentences, each once."""
    reactions = (Reaction(**{name: one[name] for name in _REACTION}) for one in report["reactions"])
    return list(dict.fromkeys(map(str, reactions)))


def _quality(context: StepContext, spec: TrainGeneratorSpec, source: _Source, generator: Generator) -> GeneratorQuality:
    run = Run(
        device=context.models.device, seed=context.claim.seed, should_stop=context.should_stop, folder=context.folder
    )
    mirrored = bool(spec.training_settings(source.row.flips).get("flip", False))
    return held_out_quality(generator, source.images.training, source.images.held_out, mirrored, run)


def _pictures(
    context: StepContext,
    generator_id: str,
    generator: Generator,
    report: dict[str, Any],
    samples: Tensor | None,
    state: GeneratorState,
) -> list[File]:
    """Return the picture of samples at the last point, and at the end the preview of the generator."""
    name, found = generator.info.name, []
    seen = f"{report['images_seen']:,} images"
    if samples is None:
        samples = drawn_samples(generator, MOST_SAMPLES, Run(seed=context.claim.seed))
    found.append(context.put(generator_id, SAMPLES, sample_grid(samples, f"{name} after {seen}"), "image/png"))
    if state == "ready":
        drawn = preview(generator, title=name, run=Run(should_stop=context.should_stop))
        found.append(context.put(generator_id, PREVIEW, drawn, "image/png"))
    return found
