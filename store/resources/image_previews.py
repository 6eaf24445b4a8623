"""Pictures of uploaded photographs under each fit rule: each is made by a job and goes when its upload goes."""

from __future__ import annotations

from sqlalchemy import select

from store.database.database import Database
from store.errors import NotFound, NotReady
from store.job_kinds import preview_images
from store.resources.files import File, get_file
from store.tables import jobs

#: Pictures stand among the files of their upload.
FOLDER = "previews/"


def preview_file(job_id: str) -> str:
    """Return the name of a picture among its upload's files."""
    return f"{FOLDER}{job_id}.png"


def get_preview(db: Database, job_id: str, *, tenant: str) -> File:
    """Return the picture that a job made. Raises NotFound, NotReady while it is being made and where that failed."""
    kind = preview_images.KIND.name
    query = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant, jobs.c.kind == kind)
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"no preview {job_id!r}")
    try:
        return get_file(db, row.spec["source"], preview_file(job_id), tenant=tenant)
    except NotFound:
        if row.state == "succeeded":
            raise NotFound(f"the preview {job_id!r} went with its upload {row.spec['source']}") from None
        raise NotReady(f"{job_id} is {row.state}; see /v1/jobs/{job_id}") from None
