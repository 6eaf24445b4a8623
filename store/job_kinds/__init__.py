"""Kinds of job, one module each, and the registry of them.

A new kind is a module here that defines `KIND`, a line in `_ALL`, and for every new step a function in `worker.steps`.
The API accepts, documents and lists every kind of the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from store.job_kinds import (
    add_images,
    assess_generator,
    assess_labeler,
    check_labels,
    draw_samples,
    evaluate,
    export,
    generate,
    import_encoder,
    import_generator,
    prepare_generator,
    preview_images,
    train_encoder,
    train_generator,
    train_labeler,
)
from store.jobs.kinds import JobKind, StepPlan
from store.requests.base import JobSpec

_ALL: tuple[JobKind[Any], ...] = (
    generate.KIND,
    check_labels.KIND,
    train_labeler.KIND,
    assess_labeler.KIND,
    assess_generator.KIND,
    evaluate.KIND,
    export.KIND,
    train_encoder.KIND,
    draw_samples.KIND,
    import_generator.KIND,
    add_images.KIND,
    prepare_generator.KIND,
    preview_images.KIND,
    train_generator.KIND,
    import_encoder.KIND,
)
#: Every kind by its name.
KINDS: dict[str, JobKind[Any]] = {kind.name: kind for kind in _ALL}


def find_step(kind: str, step: str) -> StepPlan | None:
    """Return the plan of a step, or None where this release has no such kind or step."""
    found = KINDS.get(kind)
    return None if found is None else next((plan for plan in found.steps if plan.name == step), None)


def following_step(kind: str, step: str) -> StepPlan | None:
    """Return the plan of the step that follows, or None after the last one and where this release has no such step."""
    steps = KINDS[kind].steps if kind in KINDS else ()
    return next((after for plan, after in pairwise(steps) if plan.name == step), None)


def step_title(kind: str, step: str) -> str:
    """Return the display name of a step; its name in words where this release has no such step."""
    plan = find_step(kind, step)
    return (plan.title if plan is not None else "") or step.replace("_", " ")


def parse_request(kind: str, spec: Mapping[str, Any]) -> JobSpec:
    """Return a job's stored request as the model of its kind."""
    request: JobSpec = KINDS[kind].request.model_validate(dict(spec))
    return request
