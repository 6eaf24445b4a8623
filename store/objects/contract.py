"""Contract of object stores, and what all of them do alike.

Keys are relative paths of `[A-Za-z0-9._-]` segments joined by `/`. An object appears whole or not at all, and never
changes: writers use unique keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from store.errors import DigestMismatch, NotFound, TooLarge

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object. `modified_at`: Unix seconds by the store's clock; `sha256`: hex, empty when only listed."""

    key: str
    bytes: int
    sha256: str
    modified_at: float


class ObjectWriter(Protocol):
    """An object on its way in; nothing can be read before `finish`."""

    @property
    def written(self) -> int:
        """Bytes taken so far."""

    def write(self, chunk: bytes) -> None:
        """Take one more chunk. Raises TooLarge past the declared size, StorageFull."""

    def finish(self) -> ObjectInfo:
        """Make the object visible. Raises DigestMismatch when size or SHA-256 differ from the declared ones."""

    def abort(self) -> None:
        """Forget everything written; harmless after `finish` or a second time."""


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that a caller has sent; `md5` in hex, empty where the store does not tell it; `tag`: the store's own."""

    number: int
    bytes: int
    md5: str
    tag: str


@dataclass(frozen=True, slots=True)
class PartLink:
    """Where a caller may PUT one part without a key, and the headers that have to go with it."""

    url: str
    headers: dict[str, str]


class DirectParts(Protocol):
    """Objects whose numbered parts callers send straight to the store. Methods raise StoreUnavailable.

    `multipart` is what `begin` gave. Nothing here is a check of what was sent: whoever joins reads the object through.
    """

    def part_bytes(self, size: int) -> int:
        """Bytes of each part, but the last, of an object of `size`."""

    def begin(self, key: str) -> str:
        """Begin an object; where it is neither joined nor aborted, `sweep_unfinished` ends it."""

    def link(self, key: str, multipart: str, number: int, *, size: int, md5: str, seconds: int) -> PartLink:
        """A link for one part of `size` bytes and hex `md5`, good for `seconds`."""

    def sent(self, key: str, multipart: str) -> list[SentPart]:
        """The parts that are there, by number. Raises NotFound once joined or aborted."""

    def join(self, key: str, multipart: str, parts: list[SentPart]) -> None:
        """Make the object of these parts visible. Raises NotFound once aborted, and may once joined."""

    def abort(self, key: str, multipart: str) -> None:
        """Forget the parts; harmless once joined or aborted."""


class ObjectStore(Protocol):
    """Put, read, list and delete objects. Methods raise NotFound, StorageFull, StoreUnavailable."""

    @property
    def direct(self) -> DirectParts | None:
        """Return how callers send parts straight to the store; None where the service has to take them."""

    def start(self, key: str, *, size: int | None = None, sha256: str | None = None) -> ObjectWriter:
        """Begin an object of `size` bytes and hex `sha256`, both checked at the end where given."""

    def put(
        self, key: str, data: bytes | BinaryIO | Iterable[bytes], *, size: int | None = None, sha256: str | None = None
    ) -> ObjectInfo:
        """Store `data` whole, its size and SHA-256 verified against the declared ones and the bytes on disk."""

    def stat(self, key: str) -> ObjectInfo:
        """Size and time of an object (`sha256` empty). Raises NotFound."""

    def open(self, key: str) -> BinaryIO:
        """The whole object for reading. Raises NotFound."""

    def read(self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 18) -> Iterator[bytes]:
        """Bytes [start, stop) in chunks; a `stop` past the end is cut. Raises NotFound before the first chunk."""

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is no error."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, in order of key."""

    def presign(self, key: str, *, seconds: int = 300, filename: str | None = None) -> str | None:
        """A URL that can be read without a key for `seconds`; None where the service must serve the bytes itself."""

    def clock(self) -> float:
        """Unix seconds by the clock that `modified_at` is told by."""

    def sweep_unfinished(self, older_than_seconds: float, keep: Collection[str] = ()) -> int:
        """Remove what unfinished writers left longer ago than this, but for keys in `keep`; the number removed."""


class DeclaredDigest:
    """Counts and hashes what is written, and holds it against what was declared."""

    def __init__(self, size: int | None, sha256: str | None) -> None:
        self.written = 0
        self._size, self._sha256 = size, sha256
        self._digest = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        """Take one more chunk. Raises TooLarge past the declared size."""
        if self._size is not None and self.written + len(chunk) > self._size:
            raise TooLarge(f"more than the declared {self._size} bytes were sent")
        self._digest.update(chunk)
        self.written += len(chunk)

    def check(self) -> str:
        """The SHA-256 in hex. Raises DigestMismatch when size or SHA-256 differ from the declared ones."""
        sha256 = self._digest.hexdigest()
        if self._size is not None and self.written != self._size:
            raise DigestMismatch(f"{self.written} bytes were sent, {self._size} were declared")
        if self._sha256 is not None and sha256 != self._sha256.lower():
            raise DigestMismatch(f"the bytes sent have SHA-256 {sha256}, {self._sha256} was declared")
        return sha256


def check_key(key: str) -> str:
    """The key. Raises NotFound for one that is not one of ours."""
    if not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise NotFound(f"no object {key!r}")
    return key


def write_whole(writer: ObjectWriter, data: bytes | BinaryIO | Iterable[bytes]) -> ObjectInfo:
    """Write all of `data` and finish; abort the writer where that fails."""
    try:
        for chunk in _chunks_of(data):
            writer.write(chunk)
        return writer.finish()
    finally:
        writer.abort()


def _chunks_of(data: bytes | BinaryIO | Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes, a piece at a time."""
    if isinstance(data, bytes):
        return (data,)
    if isinstance(data, BinaryIO) or hasattr(data, "read"):
        return iter(lambda: data.read(1 << 20), b"")
    return data
