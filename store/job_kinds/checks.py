"""Checks of requests that several kinds share: every problem that is known before a job begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from contracts.image_classes import ClassList, class_indices
from contracts.perceptual import HOW_TO_PROVIDE, SMALLEST_LPIPS_IMAGE, TOO_SMALL
from store.errors import Problem
from store.jobs.kinds import Submitting
from store.jobs.states import ACTIVE_JOB_STATES
from store.requests.composition import ClassDemandSpec
from store.requests.labeler import LabelingSpec
from store.requests.sampling import RejectionSpec, SamplingSpec, sampling_problems
from store.resources.descriptions import Description, described
from store.resources.files import files_of
from store.resources.generators import PERCEPTUAL, generator_names
from store.resources.reports import LabelSetReport
from store.tables import encoders, jobs, label_sets
from store.tenancy.tenants import limits_of
from store.uploads.files import upload_missing
from store.workers import no_worker_has_perceptual_weights

#: Ids of sets of samples: the rest is that of the job that draws them.
SAMPLES_PREFIX = "smp_"


#: Kinds of job that make a generator of the name in their request, and what they do with it.
_MAKING_GENERATORS = {"import_generator": "importing", "train_generator": "training"}


def generator_name_problems(where: Submitting, name: str) -> list[Problem]:
    """Return why no new generator can have this name, or nothing."""
    if where.generator(name) is not None:
        return [Problem(f"there is a generator {name!r} already", "/name")]
    same = select(jobs.c.id, jobs.c.kind).where(
        jobs.c.tenant == where.tenant,
        jobs.c.kind.in_(tuple(_MAKING_GENERATORS)),
        jobs.c.state.in_(ACTIVE_JOB_STATES),
        jobs.c.spec["name"].as_string() == name,
    )
    job = where.connection.execute(same.limit(1)).one_or_none()
    return [Problem(f"{job.id} is {_MAKING_GENERATORS[job.kind]} a generator {name!r}", "/name")] if job else []


def labeling_problems(where: Submitting, spec: LabelingSpec, count: int | None = None) -> list[Problem]:
    """Return every problem of a request about its labels, generator and labeler. `count`: images that it asks for."""
    problems = reference_problems(where, labels=spec.labels, generator=spec.generator, count=count)
    problems += perceptual_problems(where, spec.generator)
    problems += _encoder_problems(where, spec.inversion.encoder, spec.generator)
    problems += drawing_problems(where, spec.generator, spec)
    if spec.samples is None:
        problems += photograph_problems(where, spec.generator)
    problems += _collapse_problems(where.connection, spec, where.tenant)
    return problems + _samples_problems(where, spec)


def drawing_problems(where: Submitting, generator: str, spec: SamplingSpec) -> list[Problem]:
    """Return every sampling setting, and the class, that the generator does not have."""
    description = _description(where, generator)
    if description is None:
        return []
    found = sampling_problems(description.settings_schema, spec)
    if not description.draws:
        detail = f"expected a generator that draws samples; {generator} encodes and decodes images only"
        found.append(Problem(detail, "/generator"))
    classes, wanted = description.classes, getattr(spec, "class_index", None)
    if wanted is not None and wanted >= classes:
        expected = f"expected 0 to {classes - 1}" if classes else "this generator draws from no classes; leave it out"
        found.append(Problem(f"{expected}, found {wanted}", "/class_index"))
    return found


def image_classes(where: Submitting, generator: str, wanted: Sequence[int | str]) -> ClassList:
    """Return the classes of a generator that a request draws; none where the generator is unknown."""
    description = _description(where, generator)
    if description is None:
        return ClassList((), ())
    return class_indices(wanted, description.class_names, description.classes)


def image_class_problems(where: Submitting, generator: str, wanted: Sequence[int | str]) -> list[Problem]:
    """Return every listed class that the generator does not have."""
    description = _description(where, generator)
    if description is None or not wanted:
        return []
    if not description.classes:
        return [Problem("this generator draws from no classes; leave it out", "/classes")]
    return [Problem(one.detail, f"/classes/{one.at}") for one in image_classes(where, generator, wanted).wrong]


def per_class_problems(
    where: Submitting, generator: str, classes: Sequence[int | str], images_per_class: int | None, count: int
) -> list[Problem]:
    """Return what is wrong with the classes of a request and with the number of images of each."""
    found, pointer = image_class_problems(where, generator, classes), "/images_per_class"
    description = _description(where, generator)
    if found or images_per_class is None or description is None:
        return found
    if not description.classes:
        return [Problem("this generator draws from no classes; leave it out", pointer)]
    number = len(image_classes(where, generator, classes).indices)
    if number * images_per_class <= count:
        return []
    return [Problem(f"{number} classes need {number * images_per_class} images; count is {count}", pointer)]


def photograph_problems(where: Submitting, generator: str) -> list[Problem]:
    """Return why photographs get no codes of the generator's family, or nothing."""
    description = _description(where, generator)
    if description is None or description.reads_photographs:
        return []
    return [_not_inverted(description)]


def rejection_problems(where: Submitting, generator: str, rejection: RejectionSpec | None) -> list[Problem]:
    """Return why a classifier cannot choose the generator's images; which weights workers have is not looked at."""
    description = _description(where, generator)
    if rejection is None or description is None or description.classes:
        return []
    return [Problem("this generator draws from no classes; leave it out", "/rejection")]


def inversion_problems(where: Submitting, generator: str) -> list[Problem]:
    """Return why codes of the generator's family cannot be fitted to photographs, or nothing."""
    description = _description(where, generator)
    if description is None or description.inverts:
        return []
    return [_not_inverted(description)]


def _not_inverted(description: Description) -> Problem:
    detail = (
        f"family {description.family} cannot invert photographs; label drawn samples instead: "
        "POST /v1/sample-sets, then name them in `samples`"
    )
    return Problem(detail, "/generator")


def _description(where: Submitting, generator: str) -> Description | None:
    """Return the description of the generator; None for an unknown one, which `reference_problems` reports."""
    found = where.generator(generator)
    return None if found is None else described(found.info)


def _known_classes(connection: Connection, labels: str, tenant: str) -> list[str] | None:
    """Names of a label set's classes; those of an upload the job learns."""
    info = connection.execute(
        select(label_sets.c.info).where(label_sets.c.id == labels, label_sets.c.tenant == tenant)
    ).scalar()
    return None if info is None else [one.name for one in LabelSetReport.of(info).classes]


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


def composition_problems(
    where: Submitting, composition: Sequence[ClassDemandSpec], spec: LabelingSpec
) -> list[Problem]:
    """Return the classes of a composition that the dataset will not have, as far as they are known before an upload is
    read.
    """
    collapse = spec.labeler.collapse
    there = _known_classes(where.connection, spec.labels, where.tenant) if composition else None
    # Which classes a preset leaves, the worker knows.
    if there is None or not (collapse is None or collapse.classes):
        return []
    names = [one.name for one in collapse.classes] if collapse else there
    return [
        Problem(f"no class {demand.class_name!r}; there are {', '.join(names) or 'none'}", f"/composition/{at}/class")
        for at, demand in enumerate(composition)
        if demand.class_name not in names
    ]


def samples_job(connection: Connection, sample_set_id: str, tenant: str) -> Any | None:
    """Return the row of the job that draws these samples, or None."""
    job_id = "job_" + sample_set_id.removeprefix(SAMPLES_PREFIX)
    mine = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant, jobs.c.kind == "draw_samples")
    return connection.execute(mine).one_or_none() if sample_set_id.startswith(SAMPLES_PREFIX) else None


def _samples_problems(where: Submitting, spec: LabelingSpec) -> list[Problem]:
    if spec.samples is None:
        return []
    pointer = "/samples"
    row = samples_job(where.connection, spec.samples, where.tenant)
    if row is None:
        return [Problem(f"no samples {spec.samples!r}", pointer)]
    if row.state != "succeeded":
        return [Problem(f"{spec.samples!r} is {row.state}", pointer)]
    drawn, wanted = where.generator(row.spec["generator"]), where.generator(spec.generator)
    if drawn is None or wanted is None or drawn.id == wanted.id:
        return []  # the problem is named already, or the generator is gone: then the worker finds other weights
    return [Problem(f"{spec.samples!r} were drawn by another generator", pointer)]


def _encoder_problems(where: Submitting, encoder: str | None, generator: str) -> list[Problem]:
    if encoder is None:
        return []
    pointer = "/inversion/encoder"
    mine = select(encoders.c.generator_id).where(encoders.c.id == encoder, encoders.c.tenant == where.tenant)
    trained_for = where.connection.execute(mine).scalar()
    if trained_for is None:
        return [Problem(f"no encoder {encoder!r}", pointer)]
    wanted = where.generator(generator)
    if wanted is None or trained_for == wanted.id:
        return []
    return [Problem(f"{encoder!r} was trained for another generator", pointer)]


def reference_problems(
    where: Submitting, *, labels: str | None, generator: str | None, count: int | None
) -> list[Problem]:
    """Return every field that names something absent or unfinished, or asks for too much. A None is not looked at."""
    problems, connection, tenant = [], where.connection, where.tenant
    limit = limits_of(connection, where.db.settings.limits, tenant)["images_per_job"]
    if count is not None and count > limit:
        problems.append(Problem(f"at most {limit} images per job", "/count"))
    if generator is not None:
        found = where.generator(generator)
        if found is None:
            known = ", ".join(generator_names(connection, tenant=tenant)) or "none"
            problems.append(Problem(f"no generator {generator!r}; known: {known}", "/generator"))
        elif found.state != "ready":
            problems.append(Problem(f"the generator {generator!r} is not ready", "/generator"))
    if labels is not None:
        problems += _label_problems(connection, labels, tenant)
    return problems


def perceptual_problems(where: Submitting, generator: str) -> list[Problem]:
    """Return why images cannot be inverted with this generator, or nothing: an imported one has no perceptual network
    of its own, and needs a worker with ImageNet weights for LPIPS. Where no worker was heard lately, it is not known
    and nothing is returned; an unknown generator is not looked at.
    """
    found = where.generator(generator)
    if found is None or not described(found.info).inverts:
        return []  # no image is compared
    if found.builtin or files_of(where.connection, found.id, tenant=where.tenant, prefix=PERCEPTUAL):
        return []
    detail = f"{found.name} has no perceptual network of its own, with which labelled images are compared"
    if min(found.height, found.width) < SMALLEST_LPIPS_IMAGE:
        return [Problem(f"{detail}; {TOO_SMALL}", "/generator")]
    if no_worker_has_perceptual_weights(where.connection):
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
