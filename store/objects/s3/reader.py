"""Reading from an S3-compatible server: a connection that breaks is taken up again where it broke."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from store.errors import StoreUnavailable
from store.objects.s3.errors import translated

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

#: Breaks in a row, without a byte between them, after which the store counts as away; and the first pause, in seconds.
_PATIENCE, _PAUSE = 4, 0.2


def read_object(client: S3Client, bucket: str, name: str, start: int, stop: int, chunk: int) -> Iterator[bytes]:
    """Bytes [start, stop) of the object `name`, in chunks. Raises NotFound, StoreUnavailable."""
    breaks = 0
    while start < stop:
        try:
            for data in _stream(client, bucket, name, start, stop, chunk):
                start, breaks = start + len(data), 0
                yield data
            if start < stop:
                raise StoreUnavailable("the object store ended an object early")
        except StoreUnavailable:
            breaks += 1
            if breaks >= _PATIENCE:
                raise
            time.sleep(_PAUSE * 2**breaks)


def _stream(client: S3Client, bucket: str, name: str, start: int, stop: int, chunk: int) -> Iterator[bytes]:
    with translated(f"no object {name!r}"):
        body = client.get_object(Bucket=bucket, Key=name, Range=f"bytes={start}-{stop - 1}")["Body"]
    try:
        while True:
            with translated(f"no object {name!r}"):
                data = body.read(chunk)
            if not data:
                return
            yield data
    finally:
        body.close()


class ObjectReader(io.RawIOBase):
    """An object as a seekable file; bytes are asked for when they are read."""

    def __init__(self, client: S3Client, bucket: str, name: str, size: int) -> None:
        super().__init__()
        self._client, self._bucket, self._name, self._size = client, bucket, name, size
        self._at = 0
        self._rest = b""
        self._chunks: Iterator[bytes] = iter(())
        self._turn(0)

    def _turn(self, position: int) -> None:
        self._at, self._rest = position, b""
        self._chunks = read_object(self._client, self._bucket, self._name, position, self._size, 1 << 18)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        position = max(0, base + offset)
        if position != self._at:
            self._turn(position)
        return position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = next(self._chunks, b"")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._at += count
        return count
