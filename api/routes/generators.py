"""Generators: what can be sampled from, and how checkpoints made elsewhere become one."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from api.backend import Db, Objects
from api.jobs.submission import Asking, started
from api.protocol.file_responses import download, file_response
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.resources import Generator, generator_document
from api.security.scopes import Tenant
from store.database.paging import DEFAULT_PAGE
from store.job_kinds.import_generator import ImportGeneratorSpec
from store.job_kinds.prepare_generator import PrepareGeneratorSpec
from store.requests.preparation import Preparation
from store.resources import generators as stored
from store.resources.files import get_file

router = APIRouter(prefix="/v1/generators", tags=["generators"])

EXAMPLES: dict[str, Any] = {
    "upload": {
        "summary": "A checkpoint that was uploaded",
        "value": {"source": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "name": "cats", "licence": "CC-BY-NC-4.0"},
    },
    "catalogue": {"summary": "One of the catalogue", "value": {"source": "ada-afhqcat", "name": "afhqcat"}},
}
JOB = started("The job that fetches, reads and stores it.")
PREPARING = started("The job that trains them.")


@router.post("", status_code=202, response_model=None, responses=JOB | documented(400, 409, 413, 415, 422, 429, 507))
async def create_generator(
    spec: Annotated[ImportGeneratorSpec, Body(openapi_examples=EXAMPLES)],
    asked: Asking,
) -> Response:
    """Import a checkpoint of another project (docs/generators.md lists them), or one of our own.

    Nothing in the file is executed: a pickle that names anything but tensors and plain values fails the job with
    `unsafe_checkpoint`. A setting that the file lacks fails it with `bad_checkpoint`; give it in `answers`.
    """
    return await asked.start(spec)


@router.get("", responses=documented(422))
def list_generators(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[Generator]:
    """Generators, newest first."""
    page = stored.list_generators(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, generator_document)


@router.get("/{generator_id}", responses=documented(404, 422))
def get_generator(generator_id: str, db: Db, tenant: Tenant) -> Generator:
    """One generator, by name or id."""
    return generator_document(stored.get_generator(db, generator_id, tenant=tenant))


@router.post(
    "/{generator_id}/preparation",
    status_code=202,
    response_model=None,
    responses=PREPARING | documented(400, 404, 409, 413, 415, 422, 429, 507),
)
async def create_generator_preparation(
    generator_id: str,
    preparation: Annotated[Preparation, Body(examples=[{"encoder_steps": 3000}])],
    asked: Asking,
) -> Response:
    """Train a perceptual network and an encoder for a generator from its own samples. Both become its defaults, so that
    labelled images can be inverted without ImageNet weights. The job makes way for others every minute.
    """
    return await asked.start(PrepareGeneratorSpec(generator=generator_id, preparation=preparation))


@router.delete("/{generator_id}", status_code=204, responses=documented(404, 409, 422, 507))
def delete_generator(generator_id: str, db: Db, objects: Objects, tenant: Tenant) -> None:
    """Delete an imported generator. Its labelers and datasets stay."""
    stored.delete_generator(db, objects, generator_id, tenant=tenant)


@download(router, "/{generator_id}/preview", "image/png", "Samples at several sampling settings.")
def get_generator_preview(generator_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Show the same samples of an imported generator at several settings, such as truncation 0.5, 0.7 and 1."""
    generator = stored.get_generator(db, generator_id, tenant=tenant)
    file = get_file(db, generator.id, stored.PREVIEW, tenant=tenant)
    return file_response(request, objects, file, attachment=False)
