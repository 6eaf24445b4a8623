"""A generator and an image set → distances to held-out images and the check for memorisation, as JSON and pages."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import EvaluationError, Problem
from core.evaluation.generator_quality import GeneratorQuality, GeneratorQualityConfig, generator_quality
from core.evaluation.metrics.extractors import (
    NAMED_EXTRACTORS,
    Extractor,
    domain_extractor,
    named_extractor,
    pixel_extractor,
)
from core.evaluation.metrics.published_weights import PublishedWeights
from core.evaluation.report.generator_report import headline
from core.inversion.perceptual.domain import load_perceptual
from store.job_kinds.assess_generator import AssessGeneratorSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.requests.generator_assessment import FeatureName
from store.requests.sampling import sampling_settings
from store.resources.generators import PERCEPTUAL, TRAINED
from store.resources.image_sets import ImageSet, get_image_set
from worker.loading import Source, load_images, load_source
from worker.runtime.step_context import StepContext
from worker.samplers import bind_sampler
from worker.steps.generators.quality_report import quality_files
from worker.weights.folders import evaluation_folders


def assess_generator(context: StepContext) -> StepResult:
    """Draw samples, compare them with the held-out and the training part of the image set, store the report.

    Without sampling settings, samples are drawn at the last of the generator's preview settings, which is the widest.
    Raises EvaluationError where an extractor was asked for whose weights the worker lacks.
    """
    spec = context.request(AssessGeneratorSpec)
    source, images = load_source(context, spec.generator), load_images(context, spec.images)
    row = get_image_set(context.db, spec.images, tenant=context.tenant)
    images.verify(context.run(source.device))
    settings = sampling_settings(spec) or dict(source.generator.preview_settings[-1])
    bound = bind_sampler(context, source, settings)
    config = GeneratorQualityConfig(spec.count, spec.class_balance, mirrored=row.flips)
    quality = generator_quality(
        bound.sampler,
        images.training,
        images.held_out,
        _extractors(context, spec, source),
        config,
        context.run(source.device, seed=context.claim.seed),
    )
    notes = _origin_notes(source, row)
    files = quality_files(context, source.row.id, source.row.name, quality, images, row, notes)
    return StepResult(
        files=(*bound.files, *files),
        made=bound.made,
        job_result=JobResult(generator=source.row.id),
        events=(_event(source, quality),),
    )


def _extractors(context: StepContext, spec: AssessGeneratorSpec, source: Source) -> list[Extractor]:
    """Return the extractors of the request; without any, the generator's own and each whose weights are present."""
    weights = PublishedWeights(evaluation_folders(context.settings))
    folder = source.folder()
    has_own = (folder / PERCEPTUAL).is_file()
    present: list[FeatureName] = [name for name in NAMED_EXTRACTORS if weights.find(name) is not None]
    names = spec.features or (["domain", *present] if has_own else present)
    problems, found = [], []
    for place, name in enumerate(dict.fromkeys(names)):
        pointer = f"features/{place}"
        if name == "pixels":
            found.append(pixel_extractor())
        elif name == "domain":
            if has_own:
                trunk = load_perceptual(folder, source.device)
                digest = source.inversion_digest["perceptual"]
                found.append(domain_extractor(trunk.trunk, trunk.name, source.device, digest))
            else:
                problems.append(Problem("the generator has no perceptual network of its own", pointer))
        else:
            found += _published(weights, name, spec, source, pointer, problems)
    if problems:
        raise EvaluationError("these features cannot be extracted", problems)
    return found


def _published(
    weights: PublishedWeights,
    name: str,
    spec: AssessGeneratorSpec,
    source: Source,
    pointer: str,
    problems: list[Problem],
) -> Iterator[Extractor]:
    known = next(one for one in NAMED_EXTRACTORS if one == name)
    path = weights.find(name)
    if path is None:
        problems.append(Problem(f"the worker has no weights; fetch them with: offhand weights pull {name}", pointer))
    else:
        yield named_extractor(known, path, source.device, spec.resize)


def _origin_notes(source: Source, images: ImageSet) -> list[str]:
    """Return why the check for memorisation may not hold, or nothing."""
    trained_on = source.row.info.get(TRAINED, {}).get("image_set", {}).get("digest")
    if trained_on == images.digest:
        return []
    known = "was trained on other images" if trained_on else "may have been trained on other images"
    return [f"The generator {known} than {images.name}: the check for memorisation holds for these images alone."]


def _event(source: Source, quality: GeneratorQuality) -> NewEvent:
    facts = {"generator": source.row.id, "headline": headline(quality)}
    return NewEvent("generator.assessed", facts, "warning" if quality.memorised else "info")
