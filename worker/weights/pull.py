"""Published weights, brought into the worker's folder: downloaded or copied, compared with their digest, put in place.

Bytes go to `NAME.partial` beside the file, under a lock; a download that was cut continues there. The file appears at
once and whole, or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from store.downloads import DownloadLimits, download
from store.egress import Lookup, look_up
from store.errors import (
    DigestMismatch,
    EgressFailed,
    InUse,
    InvalidRequest,
    NotFound,
    StorageFull,
    StoreError,
    TooLarge,
)
from worker.weights.catalogue import CATALOGUE, PublishedFile

OnBytes = Callable[[int, int], None]
#: Downloads that may fail one after another without a single further byte.
_FAILURES = 3
_PIECE = 1 << 20


def _ignore(_done: int, _total: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class PullOptions:
    """Choices of the operator.

    source: a file, or an https URL (a mirror) instead of the publisher's. sha256: digest that the file must have, in
    place of the publisher's. trusted_hosts: as in `store.egress`.
    """

    source: str | None = None
    sha256: str | None = None
    trusted_hosts: Sequence[str] = ()
    silent_seconds: float = 30.0
    lookup: Lookup = field(default=look_up, repr=False)


@dataclass(frozen=True, slots=True)
class Pulled:
    """A file in place. `downloaded` false: it was there already."""

    name: str
    path: Path
    bytes: int
    sha256: str
    downloaded: bool


def find_published(name: str) -> PublishedFile:
    """Return an entry of the catalogue. Raises NotFound that lists the names."""
    if name not in CATALOGUE:
        raise NotFound(f"no published weights {name!r}; expected one of {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def pull(name: str, folder: Path, options: PullOptions | None = None, on_bytes: OnBytes = _ignore) -> Pulled:
    """Put published weights into `folder`, where they are not there already.

    Raises NotFound for an unknown name or a file that does not exist, InvalidRequest for a digest that is none,
    DigestMismatch, EgressRefused, EgressFailed, TooLarge, StorageFull, InUse while another pull into the folder runs.
    After EgressFailed, what was received stays for the next call.
    """
    options = options or PullOptions()
    published = find_published(name)
    wanted = (options.sha256 or published.sha256).lower()
    if not re.fullmatch(r"[0-9a-f]{8,64}", wanted):
        raise InvalidRequest(f"--sha256: expected 8 to 64 hexadecimal digits, found {options.sha256!r}")
    for present in _present(published, folder):
        if (digest := sha256_of(present)).startswith(wanted):
            return Pulled(name, present, present.stat().st_size, digest, downloaded=False)
    with _storing(folder), _locked(folder / f"{published.file}.partial") as partial:
        digest = _received(published, partial, wanted, options, on_bytes)
        target = folder / _file_name(published, partial, digest)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    return Pulled(name, target, target.stat().st_size, digest, downloaded=True)


def _present(published: PublishedFile, folder: Path) -> Iterator[Path]:
    names = (published.file, published.other_file(".pth"), published.other_file(".safetensors"))
    return (folder / name for name in dict.fromkeys(names) if (folder / name).is_file())


def _received(published: PublishedFile, partial: Path, wanted: str, options: PullOptions, on_bytes: OnBytes) -> str:
    """Fill `partial` and return its digest, which begins with `wanted`."""
    source = options.source or published.url
    continued = partial.stat().st_size > 0
    if "://" in source:
        _download(source, published, partial, options, on_bytes)
    else:
        _copy(Path(source), partial, published.most_bytes, on_bytes)
        continued = False
    digest = sha256_of(partial)
    if not digest.startswith(wanted) and continued:  # what an earlier download left may be of another file
        partial.write_bytes(b"")
        _download(source, published, partial, options, on_bytes)
        digest = sha256_of(partial)
    if digest.startswith(wanted):
        return digest
    size = partial.stat().st_size
    partial.unlink()
    stated = "you gave" if options.sha256 else "its publisher states"
    form = "" if len(wanted) == 64 else " (its beginning)"
    raise DigestMismatch(
        f"{source} is not the file that is expected for {published.name}: expected SHA-256 {wanted}{form}, which "
        f"{stated}; found {digest}, {size} bytes. Nothing was stored. Try again, or name another source with --from"
    )


def _download(source: str, published: PublishedFile, partial: Path, options: PullOptions, on_bytes: OnBytes) -> None:
    """Download until the file is whole; a connection that is cut is continued as long as bytes arrive."""
    mirror = urlsplit(source).hostname
    hosts = (*published.hosts, *([mirror] if options.source and mirror else ()))
    limits = DownloadLimits(published.most_bytes, hosts, options.trusted_hosts, options.silent_seconds, options.lookup)
    failures = 0
    while True:
        before = partial.stat().st_size
        try:
            download(source, partial, limits, resume=True, on_bytes=on_bytes)
            return
        except TooLarge:
            partial.write_bytes(b"")
            raise
        except EgressFailed as error:
            received = partial.stat().st_size
            failures = 0 if received > before else failures + 1
            if failures >= _FAILURES or not received:
                raise EgressFailed(_advice(error, published, received)) from error
            time.sleep(failures)


def _advice(error: StoreError, published: PublishedFile, received: int) -> str:
    kept = f" {received} bytes are kept; the same command continues." if received else ""
    return (
        f"{error.detail}.{kept} On a machine without this network: download {published.url} elsewhere, then run: "
        f"offhand weights pull {published.name} --from FILE"
    )


def _copy(source: Path, partial: Path, most: int, on_bytes: OnBytes) -> None:
    if not source.is_file():
        raise NotFound(f"{source}: no such file")
    total = source.stat().st_size
    if total > most:
        raise TooLarge(f"{source} has {total} bytes; {most} are allowed")
    with source.open("rb") as file, partial.open("wb") as out:
        while piece := file.read(_PIECE):
            out.write(piece)
            on_bytes(out.tell(), total)


def _file_name(published: PublishedFile, partial: Path, digest: str) -> str:
    """Return the publisher's name for its own file, else one by the format: readers compare names with digests."""
    if digest.startswith(published.sha256):
        return published.file
    with partial.open("rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"
    return published.other_file(".safetensors" if is_safetensors else ".pth")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(partial: Path) -> Iterator[Path]:
    """Hold the folder of `partial`, which is made where it is missing. Raises InUse while another process holds it."""
    folder = partial.parent
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InUse(f"another process pulls weights into {folder}; wait until it is done") from error
    try:
        partial.touch()
        yield partial
        os.fsync(handle)
    finally:
        if partial.exists() and not partial.stat().st_size:
            partial.unlink()
        os.close(handle)


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Translate the errors of a full or unusable disk."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"no space left in {folder}: make room, or choose OFFHAND_WORKER__WEIGHTS") from error
        raise StoreError(f"{folder} cannot be used: {error.strerror}; choose OFFHAND_WORKER__WEIGHTS") from error
