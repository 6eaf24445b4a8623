"""Labelers: trained label generators, with what is known about their quality."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from api.archives.pictures import picture_response, pictures_of
from api.backend import Db, Objects
from api.jobs.requests import JobRoute
from api.jobs.submission import Asking, started
from api.protocol.file_responses import download, file_response
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.resources import Labeler, LabelerReportRequest, labeler_document
from api.security.scopes import Tenant
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE
from store.job_kinds.assess_labeler import AssessLabelerSpec
from store.job_kinds.train_labeler import TrainLabelerSpec
from store.objects import ObjectStore
from store.resources import artifacts
from store.resources.labelers import get_labeler_report as stored_report
from store.resources.quality_reports import REPORT_HTML, REPORT_JSON, REPORT_PNG, has_report

router = APIRouter(prefix="/v1/labelers", tags=["labelers"], route_class=JobRoute)

TRAINED, JUDGED = started("The job that trains it."), started("The job that judges it.")
EXAMPLE = {"labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64", "folds": 5}


@router.get("", responses=documented(422))
def list_labelers(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[Labeler]:
    """Labelers, newest first."""
    page = artifacts.list_labelers(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, lambda one: labeler_with_reports(db, tenant, one))


@router.get("/{labeler_id}", responses=documented(404, 422))
def get_labeler(labeler_id: str, db: Db, tenant: Tenant) -> Labeler:
    """One labeler with its report and the report of the inversion it was trained on."""
    return labeler_with_reports(db, tenant, artifacts.get_labeler(db, labeler_id, tenant=tenant))


@router.post(
    "", status_code=202, response_model=None, responses=TRAINED | documented(400, 404, 409, 413, 415, 422, 429, 507)
)
async def create_labeler(
    spec: Annotated[TrainLabelerSpec, Body(examples=[EXAMPLE])],
    asked: Asking,
) -> Response:
    """Train a labeler alone, for datasets to come, and judge it by cross-validation. The job's `result.labeler` names
    it; a `generate` job that asks for an equal one uses it.
    """
    return await asked.start(spec)


@download(router, "/{labeler_id}/pictures/{name:path}", "image/png", "The picture.")
def get_labeler_picture(
    labeler_id: str, name: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """A labelled image beside its reconstruction."""
    labeler = artifacts.get_labeler(db, labeler_id, tenant=tenant)
    return picture_response(request, db, objects, tenant, labeler.parents["inversion_id"], name)


@router.post(
    "/{labeler_id}/reports",
    status_code=202,
    response_model=None,
    responses=JUDGED | documented(400, 404, 409, 413, 415, 422, 429, 507),
)
async def create_labeler_report(
    labeler_id: str,
    body: Annotated[LabelerReportRequest, Body(examples=[{"folds": 5}])],
    asked: Asking,
) -> Response:
    """Have a labeler judged by cross-validation: as many labelers are trained as there are `folds`, each on all images
    but its part, and label those. Then fetch `GET /v1/labelers/{id}/report`.
    """
    return await asked.start(AssessLabelerSpec(labeler=labeler_id, folds=body.folds))


@download(router, "/{labeler_id}/report", "text/html", "The report.")
def get_labeler_report(labeler_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Scores, rejection curve, reliability and the worst labels as one page that needs nothing else."""
    return _report(request, db, objects, tenant, labeler_id, REPORT_HTML)


@download(router, "/{labeler_id}/report.json", "application/json", "The report.")
def get_labeler_report_json(labeler_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """The same numbers for programs."""
    return _report(request, db, objects, tenant, labeler_id, REPORT_JSON)


@download(router, "/{labeler_id}/report.png", "image/png", "The report.")
def get_labeler_report_png(labeler_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """The same as a picture."""
    return _report(request, db, objects, tenant, labeler_id, REPORT_PNG)


def _report(request: Request, db: Database, objects: ObjectStore, tenant: str, labeler_id: str, name: str) -> Response:
    file = stored_report(db, labeler_id, name, tenant=tenant)
    return file_response(request, objects, file, attachment=False)


def labeler_with_reports(db: Database, tenant: str, labeler: artifacts.Made) -> Labeler:
    """Return the document of a labeler with its reports and pictures."""
    inversion_id = labeler.parents["inversion_id"]
    pictures = pictures_of(db, tenant, inversion_id, f"/v1/labelers/{labeler.id}")
    inversion = artifacts.get_inversion(db, inversion_id, tenant=tenant)
    return labeler_document(labeler, inversion, pictures, has_report(db, labeler.id, tenant=tenant))
