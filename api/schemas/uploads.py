"""Files on their way in."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.schemas.base import Document, Request
from store.uploads import Upload as StoredUpload

Filename = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]


class UploadRequest(Request):
    """A file is announced before it is sent: what arrives has to be exactly this."""

    filename: Filename
    size: Annotated[int, Field(ge=1, description="Bytes.")]
    sha256: Annotated[Sha256, Field(description="Of the whole file, hexadecimal.")]
    purpose: Literal["label-set", "checkpoint"] = "label-set"


class UploadUrls(Document):
    self: str
    content: str = Field(description="Where to PUT the bytes.")


class Upload(Document):
    """An archive of labelled images or a checkpoint, or the announcement of one."""

    id: str = Field(examples=["upl_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    filename: str
    size: int = Field(description="Bytes.")
    sha256: str
    state: Literal["pending", "complete"]
    created_at: datetime
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    urls: UploadUrls


def upload_document(upload: StoredUpload) -> Upload:
    path = f"/v1/uploads/{upload.id}"
    return Upload(
        id=upload.id,
        filename=upload.filename,
        size=upload.bytes,
        sha256=upload.sha256,
        state=upload.state,
        created_at=upload.created_at,
        completed_at=upload.completed_at,
        expires_at=upload.expires_at,
        urls=UploadUrls(self=path, content=f"{path}/content"),
    )
