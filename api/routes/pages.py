"""The pages for people: jobs with their progress, and one job with its dataset and what it learnt from."""

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.backend import Db
from api.protocol.paging import PageToken
from api.routes.encoders import encoder_with_pictures
from api.routes.generators import generator_with_report
from api.routes.labelers import labeler_with_reports
from api.schemas.evaluations import evaluation_document
from api.schemas.exports import export_document
from api.schemas.image_sets import image_set_document
from api.schemas.jobs import job_document
from api.schemas.resources import dataset_document, file_document
from api.security.scopes import Tenant
from store.database.database import Database
from store.errors import NotFound
from store.job_kinds import export, generate, preview_images
from store.jobs import views
from store.resources import artifacts, datasets, generators, image_sets
from store.resources.evaluations import get_evaluation, list_evaluations
from store.resources.exports import list_exports
from store.resources.files import list_files
from store.resources.image_previews import get_preview

FOLDER = Path(__file__).parents[1] / "pages"
STATIC = FOLDER / "static"
JOBS_ON_A_PAGE = 20
#: The shipped generator that draws what examples/heads50.zip shows.
EXAMPLE_GENERATOR = "heads64"
#: Where a dataset's pictures of each class are, among its files.
GALLERIES = "galleries/"

router = APIRouter(include_in_schema=False)


def render(request: Request, template: str, shown: dict[str, Any], status: int = 200) -> Response:
    """Return a page. All values are escaped: names of files and labels are untrusted."""
    page: Response = _templates().TemplateResponse(request, template, shown, status_code=status)
    return page


@cache
def _templates() -> Any:
    # Imported here: a service that is only asked by programs never needs it.
    from starlette.templating import Jinja2Templates

    return Jinja2Templates(FOLDER / "templates")


@router.get("/")
def show_jobs(request: Request, db: Db, tenant: Tenant, page_token: PageToken = None) -> Response:
    """Jobs, newest first."""
    page = views.list_jobs(db, tenant=tenant, page_size=JOBS_ON_A_PAGE, page_token=page_token)
    shown = {
        "jobs": [job_document(job) for job in page.items],
        "sheets": {job.id: sheet for job in page.items if (sheet := _sheet(job))},
        "older": page.next_page_token,
        "active": any(not job.terminal for job in page.items),
        "example_generator": EXAMPLE_GENERATOR,
        "generators": [g.name for g in generators.list_generators(db, tenant=tenant).items],
    }
    return render(request, "jobs.html", shown)


@router.get("/jobs/{job_id}")
def show_job(job_id: str, request: Request, db: Db, tenant: Tenant) -> Response:
    """One job."""
    try:
        job = views.job_view(db, job_id, tenant=tenant)
    except NotFound as error:
        shown: dict[str, Any] = {"title": "Not found", "detail": error.detail, "active": False}
        return render(request, "problem.html", shown, status=404)
    shown = {"job": job_document(job), "active": not job.terminal, **_made(db, tenant, job)}
    return render(request, "job.html", shown)


def _sheet(job: views.Job) -> str | None:
    """Where the contact sheet of a finished job is."""
    if job.kind != generate.KIND.name or job.state != "succeeded":
        return None
    return f"/v1/datasets/{job.result.dataset}/contact-sheet"


def _made(db: Database, tenant: str, job: views.Job) -> dict[str, Any]:
    """Return the results of the job that can be shown."""
    shown: dict[str, Any] = {}
    result = job.result
    if result.dataset:
        dataset = datasets.get_dataset(db, result.dataset, tenant=tenant)
        shown["dataset"] = dataset_document(dataset)
        if job.kind == export.KIND.name:
            exports = list_exports(db, dataset.id, tenant=tenant)
            shown["export"] = next((export_document(dataset.id, e) for e in exports if e.job_id == job.id), None)
        if job.kind == generate.KIND.name and dataset.deleted_at is None:
            found = list_files(db, dataset.id, tenant=tenant, prefix=GALLERIES)
            evaluated = list_evaluations(db, tenant=tenant, dataset=dataset.id).items
            shown["evaluation"] = next((evaluation_document(one) for one in evaluated if one.finished), None)
            shown["galleries"] = [file_document(f, f"/v1/datasets/{dataset.id}/files/{f.name}") for f in found]
    if result.evaluation:
        shown["evaluation"] = evaluation_document(get_evaluation(db, result.evaluation, tenant=tenant))
    with contextlib.suppress(NotFound):  # the generator, the image set, or the upload of a preview was deleted
        if result.image_set:
            shown["image_set"] = image_set_document(image_sets.get_image_set(db, result.image_set, tenant=tenant))
        if result.generator:
            found_generator = generators.get_generator(db, result.generator, tenant=tenant)
            shown["generator"] = generator_with_report(db, tenant, found_generator)
        if job.kind == preview_images.KIND.name and job.state == "succeeded":
            get_preview(db, job.id, tenant=tenant)
            shown["fits"] = f"/v1/image-sets/previews/{job.id}"
    if result.encoder:
        shown["encoder"] = encoder_with_pictures(db, tenant, artifacts.get_encoder(db, result.encoder, tenant=tenant))
    if result.labeler:
        shown["labeler"] = labeler_with_reports(db, tenant, artifacts.get_labeler(db, result.labeler, tenant=tenant))
    return shown
