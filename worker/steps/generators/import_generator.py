"""A checkpoint made elsewhere → a generator in our own form, with a report and a first look at what it draws."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

from contracts.perceptual import HOW_TO_PROVIDE, SMALLEST_LPIPS_IMAGE, TOO_SMALL
from contracts.sampling_settings import violations
from core.callbacks import Progress
from core.checkpoints.process import import_in_process
from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.files import DESCRIPTION, WEIGHTS, save_generator
from core.generators.importing import Imported
from core.generators.interface import Generator, GeneratorInfo
from core.run import Run
from core.visualization.generator_preview import preview
from store.ids import new_id
from store.job_kinds.import_generator import ImportGeneratorSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.resources.catalogue import catalogue
from store.resources.generators import IMPORTED, PREVIEW, NewGenerator
from worker.digests import json_values
from worker.loading import REPORT, prepare_torch
from worker.runtime.step_context import StepContext
from worker.steps.generators.checkpoint_download import fetch_checkpoint
from worker.weights.folders import perceptual_weights


def import_generator(context: StepContext) -> StepResult:
    """Fetch the file, read it in a process of its own, and keep the generator; nothing of the file itself is kept."""
    begun = time.monotonic()
    prepare_torch(context)
    spec, generator_id = context.request(ImportGeneratorSpec), new_id("gen")
    path = fetch_checkpoint(context, spec.source)
    answers, reading = Answers.of(spec.answers.model_dump()), context.folder / "reading"
    imported = import_in_process(path, reading, answers, should_stop=context.should_stop)
    path.unlink()
    added = (*_class_notes(spec, imported), *_perceptual_notes(context, imported))
    found = replace(imported.report, notes=(*imported.report.notes, *added))
    report = json_values(found.to_json() | {"source": spec.source})
    info = _info(spec, imported)
    generator = _with_defaults(imported.generator, info)
    title = f"{info.name}: {info.domain}" if info.domain else info.name
    drawing = Run(progress=in_seconds(context.progress, begun), should_stop=context.should_stop)
    picture = preview(generator, title=title, run=drawing) if "samples" in generator.labelled_by else None
    folder = context.folder / "generator"
    info = save_generator(folder, generator)
    files = (
        context.put(generator_id, DESCRIPTION, folder / DESCRIPTION, "application/json"),
        context.put(generator_id, WEIGHTS, folder / WEIGHTS, "application/octet-stream"),
        context.put(generator_id, REPORT, json.dumps(report, indent=1).encode(), "application/json"),
        *((context.put(generator_id, PREVIEW, picture, "image/png"),) if picture else ()),
    )
    height, width = generator.resolution
    description = json.loads((folder / DESCRIPTION).read_text("utf-8")) | {IMPORTED: report}
    made = NewGenerator(generator_id, info.name, info.digest, height, width, info.licence, description)
    notes = tuple(NewEvent("generator.note", {"text": note}, "warning") for note in found.notes)
    summary = {"generator": generator_id, "format": found.format}
    return StepResult(
        files=files,
        generator=made,
        job_result=JobResult(generator=generator_id),
        events=(NewEvent("generator.imported", summary), *notes),
    )


def _with_defaults(generator: Generator, info: GeneratorInfo) -> Generator:
    """Return the generator with its facts. Raises CheckpointError for defaults of settings that it does not have."""
    wrong = violations(generator.settings_schema, info.sampling)
    if wrong:
        problems = [Problem(one.detail, f"/sampling/{one.name}") for one in wrong]
        raise CheckpointError("the defaults of the sampling settings do not fit this generator", problems)
    return generator.with_info(info)


def in_seconds(progress: Progress, begun: float, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Return a progress of equal parts that reports seconds to ``progress``: those since ``begun``, of those and the
    ones to come. The estimate of the step then follows from the parts, not from the reading that preceded them.
    """
    first = clock()

    def report(done: int, total: int) -> None:
        spent, each = clock() - begun, (clock() - first) / max(done, 1)
        progress(max(1, round(spent)), max(1, round(spent)) + round(each * (total - done)))

    return report


def _class_notes(spec: ImportGeneratorSpec, imported: Imported) -> list[str]:
    count = imported.report.classes
    if not count or spec.classes or imported.generator.info.classes:
        return []
    return [f"Its {count} classes have no names. Import it with `classes`, a list of {count} names, to give them."]


def _perceptual_notes(context: StepContext, imported: Imported) -> list[str]:
    """Return notes on what labelling jobs with this generator will lack, as far as this worker shows it."""
    if "inversion" not in imported.generator.labelled_by:
        return []
    begin = "It has no perceptual network of its own, with which labelled images are compared"
    if min(imported.report.resolution) < SMALLEST_LPIPS_IMAGE:
        return [f"{begin}; {TOO_SMALL}."]
    if perceptual_weights(context.settings) is not None:
        return []
    return [f"{begin}, and this worker has no ImageNet weights for it. Before labelling jobs, {HOW_TO_PROVIDE}."]


def _info(spec: ImportGeneratorSpec, imported: Imported) -> GeneratorInfo:
    """Return the facts that the caller states, else those of the file, else those of the catalogue."""
    entry = catalogue().get(spec.source)
    facts, classes = imported.report.facts, tuple(spec.classes) or imported.generator.info.classes
    if classes and len(classes) != imported.report.classes:
        detail = f"{len(classes)} names for a generator of {imported.report.classes} classes"
        raise CheckpointError("the names of the classes do not fit this generator", [Problem(detail, "classes")])
    given = {name: value for name, value in spec.sampling.items() if value is not None}
    return GeneratorInfo(
        name=spec.name,
        licence=spec.licence or facts.get("licence", "") or (entry.licence if entry else ""),
        domain=spec.domain or facts.get("domain", "") or (entry.domain if entry else ""),
        classes=classes,
        options=imported.generator.info.options,
        sampling=given or imported.generator.info.sampling,
    )
