"""Image sets: unlabelled images, packed by a job from an upload, that generators are trained on."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from api.backend import Db, Objects
from api.jobs.requests import JobRoute
from api.jobs.submission import Asking, started
from api.protocol.file_responses import download, file_response
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.image_sets import ImageSet, ImageSetChange, image_set_document
from api.security.scopes import Tenant
from store.database.paging import DEFAULT_PAGE
from store.job_kinds.add_images import AddImagesSpec
from store.job_kinds.preview_images import PreviewImagesSpec
from store.resources import image_sets as stored
from store.resources.files import get_file
from store.resources.image_previews import get_preview

router = APIRouter(prefix="/v1/image-sets", tags=["image sets"], route_class=JobRoute)

EXAMPLE = {"source": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "name": "xrays", "height": 64, "width": 64}
PREVIEW_EXAMPLE = {"source": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "height": 64, "width": 64}
JOB = started("The job that reads and packs them.")
PREVIEW = started("The job that draws the picture.")


@router.post("", status_code=202, response_model=None, responses=JOB | documented(400, 409, 413, 415, 422, 429, 507))
async def create_image_set(
    spec: Annotated[AddImagesSpec, Body(examples=[EXAMPLE])],
    asked: Asking,
) -> Response:
    """Pack photographs at one size, for generators to be trained on. The job's `result.image_set` names the set.

    The upload is a zip, tar or tar.gz with the photographs in folders (a folder for each class, or none), a WebDataset
    tar, or parquet as the Hugging Face hub has it. Files that cannot be read are left out and named in the report.
    """
    return await asked.start(spec)


@router.post(
    "/previews", status_code=202, response_model=None, responses=PREVIEW | documented(400, 409, 413, 415, 422, 429, 507)
)
async def create_image_preview(
    spec: Annotated[PreviewImagesSpec, Body(examples=[PREVIEW_EXAMPLE])],
    asked: Asking,
) -> Response:
    """Show examples of an upload under the rules crop, pad and stretch, before one of them is applied."""
    return await asked.start(spec)


@download(router, "/previews/{job_id}", "image/png", "The photographs, and each of them under the three rules.")
def get_image_preview(job_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """The picture that a job made of examples. It goes when its upload is deleted."""
    return file_response(request, objects, get_preview(db, job_id, tenant=tenant), attachment=False)


@router.get("", responses=documented(422))
def list_image_sets(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[ImageSet]:
    """Image sets, newest first."""
    page = stored.list_image_sets(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, image_set_document)


@router.get("/{image_set_id}", responses=documented(404, 422))
def get_image_set(image_set_id: str, db: Db, tenant: Tenant) -> ImageSet:
    """One image set, by name or id."""
    return image_set_document(stored.get_image_set(db, image_set_id, tenant=tenant))


@router.patch("/{image_set_id}", responses=documented(400, 404, 409, 413, 415, 422, 507))
def update_image_set(
    image_set_id: str, change: Annotated[ImageSetChange, Body(examples=[{"name": "chests"}])], db: Db, tenant: Tenant
) -> ImageSet:
    """Rename an image set. Refused while a job that names it waits or runs."""
    return image_set_document(stored.rename_image_set(db, image_set_id, change.name, tenant=tenant))


@router.delete("/{image_set_id}", status_code=204, responses=documented(404, 409, 422, 507))
def delete_image_set(image_set_id: str, db: Db, objects: Objects, tenant: Tenant) -> None:
    """Delete an image set. Refused while a job that needs it waits or runs; generators trained on it stay."""
    stored.delete_image_set(db, objects, image_set_id, tenant=tenant)


@download(router, "/{image_set_id}/contact-sheet", "image/png", "Some images of each class.")
def get_image_set_contact_sheet(
    image_set_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """A picture of some images of each class, at the set's size."""
    found = stored.get_image_set(db, image_set_id, tenant=tenant)
    file = get_file(db, found.id, stored.CONTACT_SHEET, tenant=tenant)
    return file_response(request, objects, file, attachment=False)


@download(router, "/{image_set_id}/report", "application/json", "The report.")
def get_image_set_report(image_set_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Findings about the images: class counts, unreadable files, copies, warnings, the licence."""
    found = stored.get_image_set(db, image_set_id, tenant=tenant)
    return file_response(request, objects, get_file(db, found.id, stored.REPORT, tenant=tenant), attachment=False)
