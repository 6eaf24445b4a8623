"""Datasets: manifest, shards, one file of everything, card and contact sheet."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Request
from starlette.responses import Response

from api.archives import dataset_archive
from api.archives.streams import member_of
from api.backend import Db, Objects
from api.protocol.errors import ApiError
from api.protocol.file_responses import download, file_response
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import ProblemItem, documented
from api.protocol.ranges import content_response
from api.schemas.base import ListOf, list_of
from api.schemas.resources import Dataset, DatasetChange, dataset_document
from api.security.scopes import Tenant
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE
from store.errors import Gone, NotReady
from store.job_kinds.export import DeliveryFormat
from store.objects import ObjectStore
from store.requests.base import MAX_SEED
from store.resources import datasets as stored
from store.resources.exports import get_export
from store.resources.files import get_file

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

EXPORTS, CONTAINER = "omit it, or use zip: exports are zip files", "query:container"


@router.get("", responses=documented(422))
def list_datasets(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[Dataset]:
    """Datasets, newest first."""
    page = stored.list_datasets(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, dataset_document)


@router.get("/{dataset_id}", responses=documented(404, 422))
def get_dataset(dataset_id: str, db: Db, tenant: Tenant) -> Dataset:
    """One dataset."""
    return dataset_document(stored.get_dataset(db, dataset_id, tenant=tenant))


@router.patch("/{dataset_id}", responses=documented(400, 404, 413, 415, 422, 507))
def update_dataset(
    dataset_id: str, change: Annotated[DatasetChange, Body(examples=[{"pinned": True}])], db: Db, tenant: Tenant
) -> Dataset:
    """Pin a dataset, so that it does not expire, or let it go."""
    return dataset_document(stored.pin_dataset(db, dataset_id, tenant=tenant, pinned=change.pinned))


@router.delete("/{dataset_id}", status_code=204, responses=documented(404, 409, 422, 507))
def delete_dataset(dataset_id: str, db: Db, tenant: Tenant) -> None:
    """Delete a dataset that no waiting or running job needs: nothing of it can be downloaded from now on, and its files
    go after 24 hours.
    """
    stored.delete_dataset(db, dataset_id, tenant=tenant)


@router.post("/{dataset_id}/undelete", responses=documented(404, 410, 422, 507))
def undelete_dataset(dataset_id: str, db: Db, tenant: Tenant) -> Dataset:
    """Take a deletion back within 24 hours."""
    return dataset_document(stored.undelete_dataset(db, dataset_id, tenant=tenant))


@download(router, "/{dataset_id}/manifest", "application/json", "The manifest.")
def get_manifest(dataset_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Every shard with size, SHA-256 and number of items; `complete` is false when the job ended early."""
    dataset = readable(db, dataset_id, tenant)
    if dataset.state == "ready":
        return file_response(
            request, objects, get_file(db, dataset_id, stored.MANIFEST, tenant=tenant), attachment=False
        )
    return whole(request, dataset_archive.partial_manifest(db, dataset_id, tenant), "application/json")


@download(router, "/{dataset_id}/shards/{name}", "application/x-tar", "The shard.")
def get_shard(dataset_id: str, name: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """One shard: a WebDataset tar. Ask for the rest of it with `Range` and `If-Range`."""
    dataset = readable(db, dataset_id, tenant)
    owner = dataset_id if dataset.state == "ready" else dataset.job_id
    return file_response(request, objects, get_file(db, owner, f"shards/{name}", tenant=tenant))


@download(router, "/{dataset_id}/files/{name:path}", "application/octet-stream", "The file.")
def get_dataset_file(
    dataset_id: str, name: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """Any file that the manifest lists beside the shards."""
    return named_file(request, db, objects, tenant, dataset_id, name)


@download(router, "/{dataset_id}/SHA256SUMS", "text/plain", "One line a file, as `sha256sum --check` reads them.")
def get_checksums(dataset_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """The digest of every file of the archive, by its name there."""
    packed = dataset_archive.packed(db, objects, readable(db, dataset_id, tenant), tenant)
    return whole(request, packed.checksums, "text/plain")


@download(router, "/{dataset_id}/archive", ("application/x-tar", "application/zip"), "The archive.")
def get_archive(
    dataset_id: str,
    request: Request,
    db: Db,
    objects: Objects,
    tenant: Tenant,
    format: Annotated[
        DeliveryFormat,
        Query(description="`webdataset` is always there; others are once their export is made."),
    ] = "webdataset",
    container: Annotated[
        Literal["tar", "zip"] | None,
        Query(description="What to pack the native format in. Null: tar, and zip for other formats, which are zips."),
    ] = None,
    split: Annotated[float | None, Query(ge=0.0, le=0.9, description="The `split` of an export.")] = None,
    split_seed: Annotated[int, Query(ge=0, le=MAX_SEED, description="The `split_seed` of an export.")] = 0,
) -> Response:
    """Everything in one file: the native format as a tar or zip that is made while it is sent (shards, manifest, card,
    contact sheet, SHA256SUMS), other formats as the zip that their export made.
    """
    dataset = readable(db, dataset_id, tenant)
    if format != "webdataset":
        if container == "tar":
            raise ApiError("invalid_request", "Exports are zips.", [ProblemItem(detail=EXPORTS, pointer=CONTAINER)])
        exported = get_export(db, dataset_id, format, split, split_seed, tenant=tenant)
        return file_response(request, objects, exported, filename=f"{dataset_id}-{format}.zip")
    packed = dataset_archive.packed(db, objects, dataset, tenant)
    archive = packed.as_zip() if container == "zip" else packed.as_tar()
    return content_response(
        request,
        archive.read,
        size=archive.size,
        etag=f'"{sha256(f"{dataset_id} {container}".encode() + packed.checksums).hexdigest()}"',
        media_type="application/zip" if container == "zip" else "application/x-tar",
        filename=f"{dataset_id}.{container or 'tar'}",
    )


@download(router, "/{dataset_id}/contact-sheet", "image/png", "Image, mask and uncertainty, side by side.")
def get_contact_sheet(dataset_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """A picture of the first samples."""
    return named_file(request, db, objects, tenant, dataset_id, stored.CONTACT_SHEET)


@download(router, "/{dataset_id}/card", "text/markdown", "What the dataset is.")
def get_card(dataset_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """The dataset's README."""
    return named_file(request, db, objects, tenant, dataset_id, stored.CARD)


def readable(db: Database, dataset_id: str, tenant: str) -> stored.Dataset:
    """The dataset; NotReady while it is being made, Gone once it has expired or is deleted."""
    dataset = stored.get_dataset(db, dataset_id, tenant=tenant)
    if dataset.deleted_at is not None:
        raise Gone(f"{dataset_id} was deleted at {dataset.deleted_at:%Y-%m-%d %H:%M} UTC")
    if dataset.expires_at is not None and dataset.expires_at <= datetime.now(UTC):
        raise Gone(f"{dataset_id} expired at {dataset.expires_at:%Y-%m-%d %H:%M} UTC")
    if dataset.state == "building":
        raise NotReady(f"{dataset_id} is still being made; see /v1/jobs/{dataset.job_id}")
    return dataset


def named_file(
    request: Request, db: Database, objects: ObjectStore, tenant: str, dataset_id: str, name: str
) -> Response:
    """Serve one file of a dataset by its name."""
    dataset = readable(db, dataset_id, tenant)
    if dataset.state != "ready":
        raise NotReady(f"{dataset_id} ended early and has no {name}")
    return file_response(request, objects, get_file(db, dataset_id, name, tenant=tenant), attachment=False)


def whole(request: Request, content: bytes, media_type: str) -> Response:
    """A small document made for this answer."""
    return content_response(
        request,
        member_of("", content).read,
        size=len(content),
        etag=f'"{sha256(content).hexdigest()}"',
        media_type=media_type,
        headers={"X-Content-SHA256": sha256(content).hexdigest()},
    )
