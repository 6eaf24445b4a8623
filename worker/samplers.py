"""The job's generator bound to its sampling settings, with the statistics that a family stores for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from contracts.image_classes import class_indices
from core.errors import GeneratorError, Problem, SamplingError
from core.evaluation.metrics.published_weights import PublishedWeights
from core.generators.interface import Invertible, Sampler, settings_with_defaults
from core.run import Run
from core.sampling.classifier import load_classifier
from core.sampling.rejection import Rejection, tries_of
from store.errors import DamagedObject
from store.ids import new_id
from store.requests.sampling import RejectionSpec
from store.resources.artifacts import PREFIXES, Made, NewMade, find_made
from store.resources.files import File
from worker.digests import digest_of
from worker.loading import Source
from worker.runtime.step_context import StepContext
from worker.weights.folders import evaluation_folders

log = structlog.get_logger()

#: Name of the statistics among the files of their artifact.
STATISTICS = "statistics"


@dataclass(frozen=True)
class BoundSampler:
    """A sampler; `files` and `made` are to be stored with the step's result where statistics were computed."""

    sampler: Sampler
    files: tuple[File, ...] = ()
    made: tuple[NewMade, ...] = ()


def bind_sampler(context: StepContext, source: Source, settings: Mapping[str, Any]) -> BoundSampler:
    """Bind the generator to `settings`. Statistics that it needs for them are read, or computed where no earlier step
    stored any. Raises GeneratorError for settings that it does not have.
    """
    complete = settings_with_defaults(source.generator.settings_schema, settings)
    digest = digest_of({"made": "statistics 1", "generator": source.info.digest, "settings": complete})
    stored = find_made(context.db, "statistics", digest, tenant=context.tenant)
    content = None if stored is None else _read(context, stored)
    if content is not None:
        return BoundSampler(source.generator.bind(complete, content))
    prepared = source.generator.prepare(complete, Run(source.device, should_stop=context.should_stop))
    if prepared is None:
        return BoundSampler(source.generator.bind(complete))
    content, artifact = prepared.to_bytes(), new_id(PREFIXES["statistics"])
    if stored is not None:
        return BoundSampler(source.generator.bind(complete, content))  # what is stored under this digest is damaged
    files = (context.put(artifact, STATISTICS, content, "application/octet-stream"),)
    made = (NewMade("statistics", artifact, digest, {"settings": complete}, {"generator_id": source.row.id}),)
    return BoundSampler(source.generator.bind(complete, content), files, made)


def _read(context: StepContext, stored: Made) -> bytes | None:
    """Return stored statistics; None where their file is damaged: they are computed again, to the same numbers."""
    try:
        return context.fetch(stored.id, STATISTICS).read_bytes()
    except DamagedObject as error:
        log.warning("statistics.damaged", statistics=stored.id, why=error.detail)
        return None


def drawn_classes(source: Source, wanted: Sequence[int | str]) -> dict[int, str]:
    """Return the classes that take turns in a stream, index → name; empty for an unconditional generator.

    wanted: of the request, indices or names; empty for all. Raises GeneratorError for classes that there are not.
    """
    count, names = source.generator.code.classes, source.info.classes
    found = class_indices(wanted, names, count)
    if found.wrong:
        problems = [Problem(one.detail, f"classes.{one.at}") for one in found.wrong]
        raise GeneratorError("the generator does not have these classes", problems)
    return {index: names[index] if names else f"class {index}" for index in found.indices}


def classifier_file(context: StepContext, asked: RejectionSpec) -> Path:
    """Return the worker's file with the weights of a classifier. Raises SamplingError where it has none."""
    folders = evaluation_folders(context.settings)
    path = PublishedWeights(folders).find(asked.classifier)
    if path is None:
        listed = ", ".join(map(str, folders))
        detail = f"no {asked.classifier}.pth or .safetensors in {listed}; `offhand weights pull` has some"
        raise SamplingError("this worker lacks the classifier", [Problem(detail, "/rejection/classifier")])
    return path


def load_rejection(context: StepContext, source: Source, asked: RejectionSpec | None) -> Rejection | None:
    """Return the choice of codes by a classifier that a request asks for. Raises SamplingError where the worker has no
    weights of it, or weights of other classes.
    """
    if asked is None:
        return None
    path = classifier_file(context, asked)
    classes, device = source.generator.code.classes, source.device
    classifier = context.models.get(
        f"classifier {path} {classes} {device}", lambda: load_classifier(asked.classifier, path, classes, device)
    )
    return Rejection(classifier, tries_of(asked.rate))


def invertible_sampler(context: StepContext, source: Source) -> Invertible:
    """Bind the generator with default settings for fitting codes. Raises GeneratorError for a family that cannot."""
    sampler = bind_sampler(context, source, {}).sampler
    if not isinstance(sampler, Invertible):
        raise not_invertible(source)
    return sampler


def not_invertible(source: Source) -> GeneratorError:
    """Return the error for a family whose codes cannot be fitted to photographs."""
    detail = f"family {source.generator.family} cannot invert photographs; label drawn samples instead"
    return GeneratorError("this generator cannot invert photographs", [Problem(detail, source.row.name)])
