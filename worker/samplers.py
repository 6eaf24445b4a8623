"""The job's generator bound to its sampling settings, with the statistics that a family stores for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from contracts.image_classes import class_indices
from core.errors import GeneratorError, Problem
from core.generators.interface import Invertible, Sampler, settings_with_defaults
from core.run import Run
from store.errors import DamagedObject
from store.ids import new_id
from store.resources.artifacts import PREFIXES, Made, NewMade, find_made
from store.resources.files import File
from worker.digests import digest_of
from worker.loading import Source
from worker.runtime.step_context import StepContext

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
