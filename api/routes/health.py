"""Whether the process lives, and whether the service can do its work."""

from uuid import uuid4

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.backend import Backend, backend_of
from api.protocol.errors import answer
from api.protocol.problems import ProblemItem, documented
from store.errors import StoreError
from store.workers import live_workers

log = structlog.get_logger(__name__)

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """Liveness of the process."""

    service: str = "offhand"
    status: str = "ok"


class Readiness(BaseModel):
    """Readiness of the service."""

    service: str = "offhand"
    status: str = "ready"
    workers: int = Field(description="Workers that were heard from lately.")


@router.get("/healthz")
def get_health() -> Health:
    """Liveness of the process, without its dependencies."""
    return Health()


@router.get("/readyz", response_model=Readiness, responses=documented())
def get_readiness(request: Request) -> Readiness | Response:
    """Database and objects can be written, and a worker is there."""
    backend = backend_of(request)
    problems = [*_database_problems(backend), *_objects_problems(backend)]
    workers = 0
    if not problems:
        workers = live_workers(backend.database)
        if workers == 0:
            problems.append(ProblemItem(detail="no worker has been heard from lately", pointer="worker"))
    if problems:
        detail = "; ".join(problem.detail for problem in problems)
        return answer(request, "not_serving", detail, problems)
    return Readiness(workers=workers)


def _database_problems(backend: Backend) -> list[ProblemItem]:
    try:
        backend.database.ping()
    except StoreError as error:
        log.warning("service.not_ready", needs="database", detail=str(error))
        return [ProblemItem(detail=error.detail, pointer="database")]
    return []


def _objects_problems(backend: Backend) -> list[ProblemItem]:
    key = f"readyz/{uuid4().hex}"
    try:
        backend.objects.put(key, b"ready")
        backend.objects.delete(key)
    except StoreError as error:
        log.warning("service.not_ready", needs="objects", detail=str(error))
        return [ProblemItem(detail=error.detail, pointer="objects")]
    return []
