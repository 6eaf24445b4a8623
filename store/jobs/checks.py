"""What in a request for a job cannot work, before any of it is begun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from contracts.perceptual import HOW_TO_PROVIDE, SMALLEST_LPIPS_IMAGE, TOO_SMALL
from store.database.database import Database
from store.errors import InvalidRequest, NotFound, Problem
from store.jobs.kinds import DRAW_SAMPLES
from store.jobs.size_estimate import candidates
from store.requests.labeler import LabelingSpec
from store.requests.sampling import sampling_problems
from store.resources.descriptions import described
from store.resources.files import files_of
from store.resources.generators import PERCEPTUAL, Generator, find_generator, generator_names
from store.specs import CANDIDATES_PER_IMAGE, CheckLabelsSpec, DrawSamplesSpec, GenerateSpec
from store.tables import encoders, jobs, label_sets
from store.tenancy.tenants import limits_of
from store.uploads.files import upload_missing
from store.workers import no_worker_has_perceptual_weights

#: Ids of sets of samples: the rest is that of the job that draws them.
SAMPLES_PREFIX = "smp_"


@dataclass(frozen=True, slots=True)
class WantedGenerator:
    """The generator that a request names, looked up once; `row` is None where there is none of that name or id."""

    name: str
    row: Generator | None


def wanted_generator(connection: Connection, name: str, tenant: str) -> WantedGenerator:
    """Look a generator up by name or id."""
    try:
        return WantedGenerator(name, find_generator(connection, name, tenant=tenant))
    except NotFound:
        return WantedGenerator(name, None)


def check_labeler(connection: Connection, db: Database, spec: LabelingSpec, *, tenant: str) -> None:
    """Raise InvalidRequest naming every field about a labeler that cannot work, or return."""
    _refuse(_labeling_problems(connection, db, spec, tenant, count=None))


def check_generate(connection: Connection, db: Database, spec: GenerateSpec, *, tenant: str) -> None:
    """Raise InvalidRequest naming every field of `spec` that cannot work, or return."""
    problems = _labeling_problems(connection, db, spec, tenant, count=spec.count)
    problems += _composition_problems(connection, spec, tenant)
    _refuse(problems + _bound_problems(connection, db, spec, tenant))


def check_labels_check(connection: Connection, db: Database, spec: CheckLabelsSpec, *, tenant: str) -> None:
    """Raise InvalidRequest naming every field of `spec` that cannot work, or return."""
    problems = _labeling_problems(connection, db, spec, tenant, count=None)
    _refuse(problems + _composition_problems(connection, spec, tenant))


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidRequest("the job cannot be started like this", problems)


def _labeling_problems(
    connection: Connection, db: Database, spec: LabelingSpec, tenant: str, count: int | None
) -> list[Problem]:
    generator = wanted_generator(connection, spec.generator, tenant)
    problems = reference_problems(connection, db, tenant=tenant, labels=spec.labels, generator=generator, count=count)
    problems += perceptual_problems(connection, generator, tenant=tenant)
    problems += _encoder_problems(connection, spec.inversion.encoder, generator, tenant)
    problems += _generator_problems(spec, generator)
    problems += _collapse_problems(connection, spec, tenant)
    return problems + _samples_problems(connection, spec, generator, tenant)


def _generator_problems(spec: LabelingSpec, generator: WantedGenerator) -> list[Problem]:
    """Steps that the generator's family cannot do, and sampling settings that it does not have."""
    found = drawing_problems(spec, generator)
    return found if spec.samples is not None else found + inversion_problems(generator)


def drawing_problems(spec: LabelingSpec | DrawSamplesSpec, generator: WantedGenerator) -> list[Problem]:
    """Name every sampling setting, and the class, that the generator does not have."""
    if generator.row is None:
        return []
    description = described(generator.row.info)
    found = sampling_problems(description.settings_schema, spec.model_dump(mode="json"))
    classes, wanted = description.classes, getattr(spec, "class_index", None)
    if wanted is not None and wanted >= classes:
        expected = f"expected 0 to {classes - 1}" if classes else "this generator draws from no classes; leave it out"
        found.append(Problem(f"{expected}, found {wanted}", "/class_index"))
    return found


def inversion_problems(generator: WantedGenerator) -> list[Problem]:
    """Name the generator where its family cannot invert photographs."""
    if generator.row is None or (description := described(generator.row.info)).inverts:
        return []
    detail = (
        f"family {description.family} cannot invert photographs; label drawn samples instead: "
        "POST /v1/sample-sets, then name them in `samples`"
    )
    return [Problem(detail, "/generator")]


def _known_classes(connection: Connection, labels: str, tenant: str) -> list[str] | None:
    """Names of a label set's classes; those of an upload the job learns."""
    info = connection.execute(
        select(label_sets.c.info).where(label_sets.c.id == labels, label_sets.c.tenant == tenant)
    ).scalar()
    return None if info is None else [one["name"] for one in info["classes"]]


def _collapse_problems(connection: Connection, spec: LabelingSpec, tenant: str) -> list[Problem]:
    collapse = spec.labeler.collapse
    there = _known_classes(connection, spec.labels, tenant) if collapse is not None else None
    if there is None or collapse is None:
        return []
    return [
        Problem(f"no class {name!r}; there are {', '.join(there) or 'none'}", f"/labeler/collapse/classes/{at}/of")
        for at, row in enumerate(collapse.classes)
        for name in row.of
        if name not in there
    ]


def _composition_problems(connection: Connection, spec: GenerateSpec | CheckLabelsSpec, tenant: str) -> list[Problem]:
    """Classes that the dataset will not have, as far as they are known before an upload is read."""
    collapse = spec.labeler.collapse
    there = _known_classes(connection, spec.labels, tenant) if spec.composition else None
    # Which classes a preset leaves, the worker knows.
    if there is None or not (collapse is None or collapse.classes):
        return []
    names = [one.name for one in collapse.classes] if collapse else there
    return [
        Problem(f"no class {demand.class_name!r}; there are {', '.join(names) or 'none'}", f"/composition/{at}/class")
        for at, demand in enumerate(spec.composition)
        if demand.class_name not in names
    ]


def _bound_problems(connection: Connection, db: Database, spec: GenerateSpec, tenant: str) -> list[Problem]:
    """Bounds that cannot be kept."""
    if spec.max_candidates is None:
        return []
    least = candidates(spec.count, spec.drop_fraction)
    most = CANDIDATES_PER_IMAGE * limits_of(connection, db.settings.limits, tenant)["images_per_job"]
    if least <= spec.max_candidates <= most:
        return []
    return [Problem(f"from {least}, which count and drop_fraction need, to {most}", "/max_candidates")]


def samples_job(connection: Connection, sample_set_id: str, tenant: str) -> Any | None:
    """The row of the job that draws these samples, or None."""
    job_id = "job_" + sample_set_id.removeprefix(SAMPLES_PREFIX)
    mine = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant, jobs.c.kind == DRAW_SAMPLES.name)
    return connection.execute(mine).one_or_none() if sample_set_id.startswith(SAMPLES_PREFIX) else None


def _samples_problems(
    connection: Connection, spec: LabelingSpec, generator: WantedGenerator, tenant: str
) -> list[Problem]:
    if spec.samples is None:
        return []
    pointer = "/samples"
    row = samples_job(connection, spec.samples, tenant)
    if row is None:
        return [Problem(f"no samples {spec.samples!r}", pointer)]
    if row.state != "succeeded":
        return [Problem(f"{spec.samples!r} is {row.state}", pointer)]
    drawn = wanted_generator(connection, row.spec["generator"], tenant)
    if drawn.row is None or generator.row is None or drawn.row.id == generator.row.id:
        return []  # where one is gone, the worker finds other weights
    return [Problem(f"{spec.samples!r} were drawn by another generator", pointer)]


def _encoder_problems(
    connection: Connection, encoder: str | None, generator: WantedGenerator, tenant: str
) -> list[Problem]:
    if encoder is None:
        return []
    pointer = "/inversion/encoder"
    mine = select(encoders.c.generator_id).where(encoders.c.id == encoder, encoders.c.tenant == tenant)
    trained_for = connection.execute(mine).scalar()
    if trained_for is None:
        return [Problem(f"no encoder {encoder!r}", pointer)]
    if generator.row is None or trained_for == generator.row.id:
        return []  # an absent one is told already
    return [Problem(f"{encoder!r} was trained for another generator", pointer)]


def reference_problems(
    connection: Connection,
    db: Database,
    *,
    tenant: str,
    labels: str | None,
    generator: WantedGenerator | None,
    count: int | None,
) -> list[Problem]:
    """Every field that names something absent or unfinished, or asks for too much. A None is not looked at."""
    problems = []
    limit = limits_of(connection, db.settings.limits, tenant)["images_per_job"]
    if count is not None and count > limit:
        problems.append(Problem(f"at most {limit} images per job", "/count"))
    if generator is not None and generator.row is None:
        known = ", ".join(generator_names(connection, tenant=tenant)) or "none"
        problems.append(Problem(f"no generator {generator.name!r}; known: {known}", "/generator"))
    elif generator is not None and generator.row is not None and generator.row.state != "ready":
        problems.append(Problem(f"the generator {generator.name!r} is not ready", "/generator"))
    if labels is not None:
        problems += _label_problems(connection, labels, tenant)
    return problems


def perceptual_problems(connection: Connection, generator: WantedGenerator, *, tenant: str) -> list[Problem]:
    """Return why images cannot be inverted with this generator, or nothing: an imported one has no perceptual network
    of its own, and needs a worker with ImageNet weights for LPIPS. Where no worker was heard lately, it is not known
    and nothing is returned; an unknown generator is not looked at.
    """
    found = generator.row
    if found is None or not described(found.info).inverts:
        return []  # told already, or no image is compared
    if found.builtin or files_of(connection, found.id, tenant=tenant, prefix=PERCEPTUAL):
        return []
    detail = f"{found.name} has no perceptual network of its own, with which labelled images are compared"
    if min(found.height, found.width) < SMALLEST_LPIPS_IMAGE:
        return [Problem(f"{detail}; {TOO_SMALL}", "/generator")]
    if no_worker_has_perceptual_weights(connection):
        return [Problem(f"{detail}, and no worker has ImageNet weights for it; {HOW_TO_PROVIDE}", "/generator")]
    return []


_LABEL_SET = select(label_sets.c.id).where(
    label_sets.c.id == bindparam("labels"), label_sets.c.tenant == bindparam("tenant")
)


def _label_problems(connection: Connection, labels: str, tenant: str) -> list[Problem]:
    if connection.execute(_LABEL_SET, {"labels": labels, "tenant": tenant}).one_or_none() is not None:
        return []
    why_not = upload_missing(connection, labels, tenant=tenant, other="label set")
    return [Problem(why_not, "/labels")] if why_not else []
