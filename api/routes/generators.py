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
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE
from store.job_kinds.assess_generator import AssessGeneratorSpec
from store.job_kinds.import_generator import ImportGeneratorSpec
from store.job_kinds.prepare_generator import PrepareGeneratorSpec
from store.job_kinds.train_generator import TrainGeneratorSpec
from store.objects import ObjectStore
from store.requests.generator_assessment import GeneratorAssessment
from store.requests.preparation import Preparation
from store.resources import generators as stored
from store.resources.files import get_file
from store.resources.quality_reports import REPORT_HTML, REPORT_JSON, REPORT_PNG, has_report, newest_report

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
ASSESSMENT = started("The job that assesses it.")
TRAINING_JOB = started("The job that trains it.")


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


@router.post(
    "/trainings",
    status_code=202,
    response_model=None,
    responses=TRAINING_JOB | documented(400, 404, 409, 413, 415, 422, 429, 507),
)
async def create_generator_training(
    spec: Annotated[TrainGeneratorSpec, Body(examples=[{"images": "chests", "name": "chests", "hours": 3}])],
    asked: Asking,
) -> Response:
    """Train a generator on an image set. The job's `result.generator` names it, from its first state on.

    The training goes on in items of at most ten minutes, between which other jobs are served. The generator is
    replaced by better states and usable at the end; where the job is canceled, with the best state so far.
    """
    return await asked.start(spec)


@router.get("", responses=documented(422))
def list_generators(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[Generator]:
    """Generators, newest first."""
    page = stored.list_generators(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, lambda one: generator_with_report(db, tenant, one))


@router.get("/{generator_id}", responses=documented(404, 422))
def get_generator(generator_id: str, db: Db, tenant: Tenant) -> Generator:
    """One generator, by name or id."""
    return generator_with_report(db, tenant, stored.get_generator(db, generator_id, tenant=tenant))


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


@router.post(
    "/{generator_id}/reports",
    status_code=202,
    response_model=None,
    responses=ASSESSMENT | documented(400, 404, 409, 413, 415, 422, 429, 507),
)
async def create_generator_report(
    generator_id: str,
    assessment: Annotated[GeneratorAssessment, Body(examples=[{"images": "xrays", "count": 2000}])],
    asked: Asking,
) -> Response:
    """Have a generator assessed by the held-out images of an image set: FID, KID, precision, recall, density, coverage,
    values by class, and whether it repeats training images. Then fetch `GET /v1/generators/{id}/report`.
    """
    return await asked.start(AssessGeneratorSpec(generator=generator_id, **assessment.model_dump(exclude_unset=True)))


@download(router, "/{generator_id}/report", "text/html", "The report.")
def get_generator_report(generator_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Distances, classes, samples and the closest training images as one page that needs nothing else."""
    return _report(request, db, objects, tenant, generator_id, REPORT_HTML)


@download(router, "/{generator_id}/report.json", "application/json", "The report.")
def get_generator_report_json(
    generator_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """The same numbers for programs."""
    return _report(request, db, objects, tenant, generator_id, REPORT_JSON)


@download(router, "/{generator_id}/report.png", "image/png", "The samples.")
def get_generator_report_png(generator_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """The first samples of the report as a picture."""
    return _report(request, db, objects, tenant, generator_id, REPORT_PNG)


def _report(
    request: Request, db: Database, objects: ObjectStore, tenant: str, generator_id: str, name: str
) -> Response:
    generator = stored.get_generator(db, generator_id, tenant=tenant)
    ask = f"POST /v1/generators/{generator.id}/reports"
    file = newest_report(db, generator.id, name, tenant=tenant, ask=ask)
    return file_response(request, objects, file, attachment=False)


def generator_with_report(db: Database, tenant: str, generator: stored.Generator) -> Generator:
    """Return the document of a generator, with the address of its quality report where there is one."""
    return generator_document(generator, has_report(db, generator.id, tenant=tenant))


@download(router, "/{generator_id}/training", "application/json", "The report.")
def get_generator_training(generator_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Show settings, curves, warnings and quality of a generator that the service trained, or is training."""
    return _training_file(request, db, objects, tenant, generator_id, stored.TRAINING)


@download(router, "/{generator_id}/samples", "image/png", "Samples of the same codes at the last point.")
def get_generator_samples(generator_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Show samples of a generator that the service trained, or is training: of the same codes at each point."""
    return _training_file(request, db, objects, tenant, generator_id, stored.SAMPLES)


@download(router, "/{generator_id}/curves", "image/png", "The curves.")
def get_generator_curves(generator_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Show losses, distance to held-out images, precision and recall of a training over the images seen."""
    return _training_file(request, db, objects, tenant, generator_id, stored.CURVES)


def _training_file(
    request: Request, db: Database, objects: ObjectStore, tenant: str, generator_id: str, name: str
) -> Response:
    generator = stored.get_generator(db, generator_id, tenant=tenant)
    return file_response(request, objects, get_file(db, generator.id, name, tenant=tenant), attachment=False)
