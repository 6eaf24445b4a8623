"""An S3-compatible server as the object store.

Reads are in `s3_reading`, objects on their way in in `s3_writing`, those whose parts callers send in `s3_parts`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator
from email.utils import parsedate_to_datetime
from io import BufferedReader
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3
from botocore.config import Config

from store.errors import NotFound, StoreUnavailable
from store.objects.contract import ObjectInfo, ObjectWriter, check_key, write_whole
from store.objects.s3.direct_parts import S3Parts
from store.objects.s3.errors import translated
from store.objects.s3.reader import ObjectReader, read_object
from store.objects.s3.writer import UNFINISHED, S3Writer
from store.settings import ObjectSettings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class S3Objects:
    """Objects of one bucket below a prefix; see `store.objects.contract.ObjectStore` for what each method promises.

    Safe to share between threads. A bucket that is absent is made.
    """

    def __init__(self, settings: ObjectSettings) -> None:
        self.bucket = settings.bucket
        self._settings = settings
        self._prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        self.client = _client(settings, settings.endpoint_url)
        # Links are for callers, who may know the server by another name than we do.
        self._public = _client(settings, settings.public_url) if settings.public_url else self.client
        with translated(f"the bucket {self.bucket!r}"):
            self._make_bucket()

    def _make_bucket(self) -> None:
        with contextlib.suppress(NotFound), translated(self.bucket):
            self.client.head_bucket(Bucket=self.bucket)
            return
        self.client.create_bucket(Bucket=self.bucket)

    def key(self, key: str) -> str:
        """The name in the bucket. Raises NotFound for a key that is not one of ours."""
        return self._prefix + check_key(key)

    @property
    def direct(self) -> S3Parts | None:
        if not self._settings.presign:
            return None
        return S3Parts(
            self.client,
            self._public,
            self.bucket,
            prefix=self._prefix,
            markers=self._prefix + UNFINISHED,
            part_bytes=self._settings.part_bytes,
        )

    def start(self, key: str, *, size: int | None = None, sha256: str | None = None) -> ObjectWriter:
        return S3Writer(
            self.client,
            self.bucket,
            key,
            self.key(key),
            markers=self._prefix + UNFINISHED,
            part_bytes=self._settings.part_bytes,
            size=size,
            sha256=sha256,
        )

    def put(
        self, key: str, data: bytes | BinaryIO | Iterable[bytes], *, size: int | None = None, sha256: str | None = None
    ) -> ObjectInfo:
        return write_whole(self.start(key, size=size, sha256=sha256), data)

    def stat(self, key: str) -> ObjectInfo:
        with translated(f"no object {key!r}"):
            found = self.client.head_object(Bucket=self.bucket, Key=self.key(key))
        return ObjectInfo(key, found["ContentLength"], "", found["LastModified"].timestamp())

    def open(self, key: str) -> BinaryIO:
        reader = ObjectReader(self.client, self.bucket, self.key(key), self.stat(key).bytes)
        return cast(BinaryIO, BufferedReader(reader, 1 << 18))

    def read(self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 18) -> Iterator[bytes]:
        size = self.stat(key).bytes
        stop = size if stop is None else min(stop, size)
        return read_object(self.client, self.bucket, self.key(key), start, stop, chunk)

    def delete(self, key: str) -> None:
        with translated(f"no object {key!r}"), contextlib.suppress(NotFound):
            self.client.delete_object(Bucket=self.bucket, Key=self.key(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for found in self._found(prefix):
            if not found.key.startswith(UNFINISHED):
                yield found

    def presign(self, key: str, *, seconds: int = 300, filename: str | None = None) -> str | None:
        if not self._settings.presign:
            return None
        asked: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key(key)}
        if filename is not None:
            safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in filename)
            asked["ResponseContentDisposition"] = f'attachment; filename="{safe}"'
        url: str = self._public.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds)
        return url

    def clock(self) -> float:
        with translated(f"the bucket {self.bucket!r}"):
            answer = self.client.head_bucket(Bucket=self.bucket)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        try:
            return parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, ValueError) as error:
            raise StoreUnavailable("the object store returned no date") from error

    def sweep_unfinished(self, older_than_seconds: float, keep: Collection[str] = ()) -> int:
        removed, now = 0, self.clock()
        kept = {self._prefix + key for key in keep}
        alive: set[str] = set()
        for marker in self._found(UNFINISHED):
            told = self._told(self._prefix + marker.key)
            if told.get("key") in kept or now - marker.modified_at <= older_than_seconds:
                alive.add(told.get("upload_id", ""))
            else:
                self._abort_marked(self._prefix + marker.key, told)
                removed += 1
        return removed + self._abort_unmarked(now - older_than_seconds, alive)

    def _told(self, name: str) -> dict[str, str]:
        """Object and id of the upload that a marker tells of; nothing where the writer has just forgotten it."""
        with contextlib.suppress(NotFound), translated(name):
            told: dict[str, str] = json.loads(self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read())
            return told
        return {}

    def _abort_unmarked(self, before: float, alive: set[str]) -> int:
        """Abort what died between beginning an upload and marking it, where the server can list such uploads.

        An upload whose marker is young is left alone, whatever time the server says it began.
        """
        removed = 0
        with contextlib.suppress(StoreUnavailable), translated(f"the bucket {self.bucket!r}"):
            pages = self.client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._prefix):
                for found in page.get("Uploads", []):
                    if found["UploadId"] not in alive and found["Initiated"].timestamp() < before:
                        self.client.abort_multipart_upload(
                            Bucket=self.bucket, Key=found["Key"], UploadId=found["UploadId"]
                        )
                        removed += 1
        return removed

    def _abort_marked(self, name: str, told: dict[str, str]) -> None:
        """Abort the upload that a marker tells of, then forget the marker."""
        if told:
            with contextlib.suppress(NotFound), translated(name):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=told["key"], UploadId=told["upload_id"])
        with translated(name):
            self.client.delete_object(Bucket=self.bucket, Key=name)

    def _found(self, prefix: str) -> Iterator[ObjectInfo]:
        pages = self.client.get_paginator("list_objects_v2")
        with translated(f"the bucket {self.bucket!r}"):
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._prefix + prefix):
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._prefix)
                    yield ObjectInfo(key, found["Size"], "", found["LastModified"].timestamp())


def _client(settings: ObjectSettings, endpoint: str) -> S3Client:
    config = Config(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        signature_version="s3v4",
        s3={"addressing_style": "path" if settings.path_style else "auto"},
        request_checksum_calculation=settings.checksums,
        response_checksum_validation=settings.checksums,
        max_pool_connections=32,
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings.region,
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        config=config,
    )
