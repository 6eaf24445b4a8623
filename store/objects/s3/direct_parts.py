"""Parts that callers send straight to an S3-compatible server: signed links for them, and what has come.

A link is good for one part of one size and MD5, which servers hold against what is sent. Not all of them do, so what is
joined is no more than what was sent.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

from store.errors import NotFound, StoreError
from store.objects.contract import PartLink, SentPart, check_key
from store.objects.s3.errors import translated
from store.objects.s3.writer import mark

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

#: A server takes so many parts of an object.
MOST_PARTS = 10_000
_MIB = 1024**2
_MD5 = re.compile(r"[0-9a-f]{32}")


class S3Parts:
    """Objects of one bucket below a prefix; see `store.objects.contract.DirectParts`. `public` signs the links."""

    def __init__(
        self, client: S3Client, public: S3Client, bucket: str, *, prefix: str, markers: str, part_bytes: int
    ) -> None:
        self._client, self._public, self._bucket = client, public, bucket
        self._prefix, self._markers, self._part_bytes = prefix, markers, part_bytes

    def part_bytes(self, size: int) -> int:
        least = -(-size // MOST_PARTS)
        return max(self._part_bytes, -(-least // _MIB) * _MIB)

    def begin(self, key: str) -> str:
        with translated(key):
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=self._name(key), ContentType="application/octet-stream"
            )
        multipart = begun["UploadId"]
        mark(self._client, self._bucket, self._marker(multipart), self._name(key), multipart)
        return multipart

    def link(self, key: str, multipart: str, number: int, *, size: int, md5: str, seconds: int) -> PartLink:
        encoded = base64.b64encode(bytes.fromhex(md5)).decode()
        url = self._public.generate_presigned_url(
            "upload_part",
            Params={
                "Bucket": self._bucket,
                "Key": self._name(key),
                "UploadId": multipart,
                "PartNumber": number,
                "ContentLength": size,
                "ContentMD5": encoded,
            },
            ExpiresIn=seconds,
        )
        return PartLink(url, {"Content-Length": str(size), "Content-MD5": encoded})

    def sent(self, key: str, multipart: str) -> list[SentPart]:
        found = []
        pages = self._client.get_paginator("list_parts")
        with translated(f"no parts of {key!r}"):
            # Swift goes on listing the parts of what was joined; the marker went with the joining.
            self._client.head_object(Bucket=self._bucket, Key=self._marker(multipart))
            for page in pages.paginate(Bucket=self._bucket, Key=self._name(key), UploadId=multipart):
                for part in page.get("Parts", []):
                    tag = part["ETag"].strip('"')
                    # Where the server encrypts with keys of others, its tag is no MD5.
                    md5 = tag if _MD5.fullmatch(tag) else ""
                    found.append(SentPart(part["PartNumber"], part["Size"], md5, part["ETag"]))
        return found

    def join(self, key: str, multipart: str, parts: list[SentPart]) -> None:
        with translated(f"no parts of {key!r}"):
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._name(key),
                UploadId=multipart,
                MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": part.tag} for part in parts]},
            )
        self._forget(multipart)

    def abort(self, key: str, multipart: str) -> None:
        with contextlib.suppress(NotFound), translated(key):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._name(key), UploadId=multipart)
        self._forget(multipart)

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _marker(self, multipart: str) -> str:
        return self._markers + hashlib.sha256(multipart.encode()).hexdigest()[:32]

    def _forget(self, multipart: str) -> None:
        # What cannot be told to the server now, the sweeper tells it later.
        with contextlib.suppress(StoreError), translated("a marker"):
            self._client.delete_object(Bucket=self._bucket, Key=self._marker(multipart))
