"""Files on their way in."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.schemas.base import Document, Request
from store.uploads.files import Upload as StoredUpload
from store.uploads.parts import MOST_PARTS

Filename = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$")]

#: Links that one request may ask for.
MOST_LINKS = 100

PartNumber = Annotated[int, Field(ge=1, le=MOST_PARTS)]


class UploadRequest(Request):
    """A file is announced before it is sent: what arrives has to be exactly this."""

    filename: Filename
    size: Annotated[int, Field(ge=1, description="Bytes.")]
    sha256: Annotated[Sha256, Field(description="Of the whole file, hexadecimal.")]
    purpose: Literal["label-set", "checkpoint", "images"] = "label-set"


class UploadPart(Document):
    """One part that is there."""

    number: int = Field(examples=[1])
    size: int = Field(description="Bytes.")
    sha256: str | None = Field(description="Null for one that went straight to the storage.")
    md5: str | None = Field(
        default=None, description="Of a part sent directly to the storage, where the storage returns it."
    )


class PartName(Request):
    """A part, by its number and what it has to be."""

    number: PartNumber
    sha256: Sha256


class CompleteUploadRequest(Request):
    """All parts of the upload, by rising number from 1. Numbers may be left out; parts not named are dropped."""

    parts: Annotated[
        list[PartName] | None,
        Field(min_length=1, max_length=MOST_PARTS, description="Null where they went straight to the storage."),
    ] = None


class PartChecksum(Request):
    """A part that is about to be sent straight to the storage."""

    number: PartNumber
    md5: Annotated[Md5, Field(description="Of this part, hexadecimal: the storage refuses other bytes.")]


class PartLinksRequest(Request):
    """Parts that links are asked for."""

    parts: Annotated[list[PartChecksum], Field(min_length=1, max_length=MOST_LINKS)]


class PartLink(Document):
    """Where to PUT one part, with exactly these headers and no key."""

    number: int
    size: int = Field(description="Bytes that the part must have.")
    url: str
    headers: dict[str, str]


class PartLinks(Document):
    """Whoever has a link may send that one part until `expires_at`."""

    items: list[PartLink]
    expires_at: datetime


class UploadUrls(Document):
    """Addresses of an upload."""

    self: str
    content: str = Field(description="Where to PUT the bytes at once.")
    parts: str = Field(description="Where to PUT them in parts: `{parts}/{number}?sha256=…`.")
    part_links: str | None = Field(
        default=None,
        description="Where to POST for links to send parts straight to the storage; null: send them here.",
    )
    complete: str = Field(description="Where to POST the list of the parts once all are there.")


class Upload(Document):
    """A file of images, labelled or not, or a checkpoint; or the announcement of one."""

    id: str = Field(examples=["upl_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    filename: str
    size: int = Field(description="Bytes.")
    sha256: str
    state: Literal["pending", "complete"]
    created_at: datetime
    completed_at: datetime | None = None
    expires_at: datetime | None = Field(
        default=None, description="When a pending upload is forgotten; each part that comes moves it on."
    )
    part_size: int | None = Field(
        default=None, description="Bytes of each part, but the last, that goes straight to the storage."
    )
    urls: UploadUrls


def upload_document(upload: StoredUpload) -> Upload:
    """Return the document of an upload."""
    path = f"/v1/uploads/{upload.id}"
    part_size = upload.part_bytes if upload.state == "pending" else None
    return Upload(
        id=upload.id,
        filename=upload.filename,
        size=upload.bytes,
        sha256=upload.sha256,
        state=upload.state,
        created_at=upload.created_at,
        completed_at=upload.completed_at,
        expires_at=upload.expires_at,
        part_size=part_size,
        urls=UploadUrls(
            self=path,
            content=f"{path}/content",
            parts=f"{path}/parts",
            part_links=f"{path}/part-links" if part_size else None,
            complete=f"{path}/complete",
        ),
    )
