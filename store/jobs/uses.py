"""Jobs that wait or run and still need a resource, which therefore cannot be deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from store.errors import InUse
from store.jobs.job_result import JobResult
from store.jobs.states import ACTIVE_JOB_STATES
from store.tables import datasets, jobs, labelers

#: Fields of requests that name a resource.
_FIELDS = ("labels", "generated_labels", "generator", "samples", "dataset", "labeler", "source", "images")
#: Jobs that one refusal names at most.
_NAMED = 10


def refuse_in_use(connection: Connection, tenant: str, *names: str) -> None:
    """Raise InUse naming the jobs that need a resource with one of `names` (its id, or what requests may call it), or
    return. The caller has locked the tenant, so that no job is accepted before the transaction ends.
    """
    active = select(jobs).where(jobs.c.tenant == tenant, jobs.c.state.in_(ACTIVE_JOB_STATES))
    rows = connection.execute(active.order_by(jobs.c.created_at, jobs.c.id)).all()
    using = [row.id for row in rows if not _needed(connection, row).isdisjoint(names)]
    if not using:
        return
    shown = ", ".join(using[:_NAMED]) + (f" and {len(using) - _NAMED} more" if len(using) > _NAMED else "")
    raise InUse(f"{names[-1]} is used by jobs that wait or run: {shown}; cancel them or wait for their end")


def _needed(connection: Connection, job: Any) -> set[str]:
    """Ids and names of all that the job reads or makes."""
    needed = _named(job.spec, job.result)
    made_by = select(jobs.c.spec, jobs.c.result).join(datasets, datasets.c.job_id == jobs.c.id)
    if dataset := job.spec.get("dataset"):
        # An evaluation draws samples again, with the generator and the labeler that made the dataset.
        for row in connection.execute(made_by.where(datasets.c.id == dataset)):
            needed |= _named(row.spec, row.result)
    if isinstance(labeler := job.spec.get("labeler"), str):
        made_from = select(labelers.c.generator_id).where(labelers.c.id == labeler)
        needed.update(connection.execute(made_from).scalars())
    return needed


def _named(spec: Mapping[str, Any], result: Mapping[str, Any]) -> set[str]:
    encoder = (spec.get("inversion") or {}).get("encoder")
    images = (spec.get("preparation") or {}).get("images")
    found = (*(spec.get(field) for field in _FIELDS), encoder, images, *JobResult.of(result).ids.values())
    # The labeler of a labeling job is a table of settings, that of an assessment an id.
    return {name for name in found if isinstance(name, str)}
