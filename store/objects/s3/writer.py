"""An object on its way to an S3-compatible server: one request where it is small, else parts.

Before the first part a marker object under `.unfinished/` keeps the upload's id, so that the sweeper can abort what a
dead process left: parts cost space and show in no listing. Nothing here trusts a conditional PUT or an ETag; each body
carries its MD5, which the server checks, and the SHA-256 is computed over what was sent.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from typing import TYPE_CHECKING
from uuid import uuid4

from store.errors import DigestMismatch, NotFound, StoreError
from store.objects.contract import DeclaredDigest, ObjectInfo
from store.objects.s3.errors import translated

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

#: Markers of unfinished uploads have names below this; no key of ours begins like it.
UNFINISHED = ".unfinished/"
#: A server takes 10,000 parts of an upload: they double in size after each so many.
_PARTS_OF_A_SIZE = 1000
_TYPE = "application/octet-stream"


class S3Writer:
    """One object on its way in; memory holds one part."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        key: str,
        name: str,
        *,
        markers: str,
        part_bytes: int,
        size: int | None,
        sha256: str | None,
    ) -> None:
        self._client, self._bucket, self._key, self._name = client, bucket, key, name
        self._marker = f"{markers}{uuid4().hex}"
        self._part_bytes = part_bytes
        self._declared = DeclaredDigest(size, sha256)
        self._buffer = bytearray()
        self._upload: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    @property
    def written(self) -> int:
        return self._declared.written

    def write(self, chunk: bytes) -> None:
        self._declared.add(chunk)
        self._buffer += chunk
        while len(self._buffer) > (room := self._part_bytes * 2 ** (len(self._parts) // _PARTS_OF_A_SIZE)):
            self._send_part(bytes(self._buffer[:room]))
            del self._buffer[:room]

    def finish(self) -> ObjectInfo:
        sha256 = self._declared.check()
        rest = bytes(self._buffer)
        if self._upload is None:
            with translated(self._key):
                self._client.put_object(
                    Bucket=self._bucket, Key=self._name, Body=rest, ContentMD5=_md5(rest), ContentType=_TYPE
                )
        else:
            self._send_part(rest)
            self._complete(self._upload)
        with translated(self._key):
            kept = self._client.head_object(Bucket=self._bucket, Key=self._name)
        if kept["ContentLength"] != self.written:
            raise DigestMismatch(f"{self._key}: the object store kept {kept['ContentLength']} of {self.written} bytes")
        self._forget()
        return ObjectInfo(self._key, self.written, sha256, kept["LastModified"].timestamp())

    def abort(self) -> None:
        self._buffer.clear()
        if self._upload is None:
            return
        # What cannot be told to the server now, the sweeper tells it later.
        with contextlib.suppress(StoreError), translated(self._key):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._name, UploadId=self._upload)
        self._forget()

    def _begin(self) -> str:
        with translated(self._key):
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._name, ContentType=_TYPE)
            upload = begun["UploadId"]
        mark(self._client, self._bucket, self._marker, self._name, upload)
        return upload

    def _send_part(self, body: bytes) -> None:
        if self._upload is None:
            self._upload = self._begin()
        number = len(self._parts) + 1
        with translated(self._key):
            sent = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._name,
                UploadId=self._upload,
                PartNumber=number,
                Body=body,
                ContentMD5=_md5(body),
            )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _complete(self, upload: str) -> None:
        # A reply that was lost makes the repeated request fail, though the object is there: the caller's look at its
        # size decides.
        with contextlib.suppress(NotFound), translated(self._key):
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=self._name, UploadId=upload, MultipartUpload={"Parts": self._parts}
            )

    def _forget(self) -> None:
        if self._upload is not None:
            self._upload = None
            with contextlib.suppress(StoreError), translated(self._marker):
                self._client.delete_object(Bucket=self._bucket, Key=self._marker)


def mark(client: S3Client, bucket: str, marker: str, name: str, upload: str) -> None:
    """Note an unfinished upload of the object `name`, so that `sweep_unfinished` finds it."""
    told = json.dumps({"key": name, "upload_id": upload}).encode()
    with translated(marker):
        client.put_object(Bucket=bucket, Key=marker, Body=told, ContentType="application/json")


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
