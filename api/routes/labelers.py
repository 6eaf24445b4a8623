"""Labelers: trained label generators, with what is known about their quality."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from api.accepted import accepted, job_accepted
from api.backend import Db, Objects
from api.content import download, file_response
from api.idempotency import IdempotencyHeader, key_of
from api.paging import PageSize, PageToken
from api.pictures import picture_response, pictures_of
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.resources import Labeler, LabelerReportRequest, labeler_document
from api.tenancy import Tenant
from store import made
from store.db import Database
from store.labeler_spec import AssessLabelerSpec, TrainLabelerSpec
from store.labelers import REPORT_HTML, REPORT_JSON, REPORT_PNG, has_report, submit_assessment, submit_train_labeler
from store.labelers import get_labeler_report as stored_report
from store.objects import ObjectStore

router = APIRouter(prefix="/v1/labelers", tags=["labelers"])

TRAINED, JUDGED = accepted("The job that trains it."), accepted("The job that judges it.")
EXAMPLE = {"labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64", "folds": 5}


@router.get("", responses=documented(422))
def list_labelers(db: Db, tenant: Tenant, page_size: PageSize = 50, page_token: PageToken = None) -> ListOf[Labeler]:
    """Labelers, newest first."""
    page = made.list_labelers(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return ListOf(
        items=[labeler_with_reports(db, tenant, item) for item in page.items], next_page_token=page.next_page_token
    )


@router.get("/{labeler_id}", responses=documented(404, 422))
def get_labeler(labeler_id: str, db: Db, tenant: Tenant) -> Labeler:
    """One labeler with its report and the report of the inversion it was trained on."""
    return labeler_with_reports(db, tenant, made.get_labeler(db, labeler_id, tenant=tenant))


@router.post(
    "", status_code=202, response_model=None, responses=TRAINED | documented(400, 404, 409, 413, 415, 422, 429, 507)
)
def create_labeler(
    spec: Annotated[TrainLabelerSpec, Body(examples=[EXAMPLE])],
    request: Request,
    db: Db,
    tenant: Tenant,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Train a labeler alone, for datasets to come, and judge it by cross-validation. The job's `result.labeler` names
    it; a `generate` job that asks for an equal one uses it."""
    key = key_of(idempotency_key, request, spec)
    submitted = submit_train_labeler(db, spec, tenant=tenant, request_id=request.state.request_id, idempotency_key=key)
    return job_accepted(db, tenant, submitted, key)


@download(router, "/{labeler_id}/pictures/{name:path}", "image/png", "The picture.")
def get_labeler_picture(
    labeler_id: str, name: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """A labelled image beside its reconstruction."""
    labeler = made.get_labeler(db, labeler_id, tenant=tenant)
    return picture_response(request, db, objects, tenant, labeler.parents["inversion_id"], name)


@router.post(
    "/{labeler_id}/reports",
    status_code=202,
    response_model=None,
    responses=JUDGED | documented(400, 404, 409, 413, 415, 422, 429, 507),
)
def create_labeler_report(
    labeler_id: str,
    asked: Annotated[LabelerReportRequest, Body(examples=[{"folds": 5}])],
    request: Request,
    db: Db,
    tenant: Tenant,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Have a labeler judged by cross-validation: as many labelers are trained as there are `folds`, each on all images
    but its part, and label those. Then fetch `GET /v1/labelers/{id}/report`."""
    spec = AssessLabelerSpec(labeler=labeler_id, folds=asked.folds)
    key = key_of(idempotency_key, request, spec)
    submitted = submit_assessment(db, spec, tenant=tenant, request_id=request.state.request_id, idempotency_key=key)
    return job_accepted(db, tenant, submitted, key)


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


def labeler_with_reports(db: Database, tenant: str, labeler: made.Made) -> Labeler:
    inversion_id = labeler.parents["inversion_id"]
    pictures = pictures_of(db, tenant, inversion_id, f"/v1/labelers/{labeler.id}")
    inversion = made.get_inversion(db, inversion_id, tenant=tenant)
    return labeler_document(labeler, inversion, pictures, has_report(db, labeler.id, tenant=tenant))
