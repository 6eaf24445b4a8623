"""The local folder as an object store: a temporary file, fsync, then an atomic rename."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from store.errors import DigestMismatch, NotFound, StorageFull, StoreUnavailable
from store.objects.contract import DeclaredDigest, ObjectInfo, ObjectWriter, check_key, write_whole

_UNFINISHED = ".unfinished"
#: Times that a folder which others prune is made again.
_TRIES = 20


def _files_in_order(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order of the keys that their paths make, without what others delete meanwhile."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((f"{one.name}/" if one.is_dir(follow_symlinks=False) else one.name) for one in found)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in entries:
        if name.endswith("/"):
            yield from _files_in_order(folder / name)
        else:
            yield folder / name


class LocalObjects:
    """Objects as files under `root`; see `store.objects.contract.ObjectStore` for what each method promises."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            (root / _UNFINISHED).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _in_words_of_the_store(error) from error

    @property
    def direct(self) -> None:
        return None

    def start(self, key: str, *, size: int | None = None, sha256: str | None = None) -> ObjectWriter:
        return _LocalWriter(self, key, size, sha256)

    def put(
        self, key: str, data: bytes | BinaryIO | Iterable[bytes], *, size: int | None = None, sha256: str | None = None
    ) -> ObjectInfo:
        return write_whole(self.start(key, size=size, sha256=sha256), data)

    def stat(self, key: str) -> ObjectInfo:
        with _translated(key):
            status = self.path(key).stat()
        return ObjectInfo(key, status.st_size, "", status.st_mtime)

    def open(self, key: str) -> BinaryIO:
        with _translated(key):
            return self.path(key).open("rb")

    def read(self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 18) -> Iterator[bytes]:
        file = self.open(key)

        def chunks() -> Iterator[bytes]:
            with file, _translated(key):
                file.seek(start)
                left = None if stop is None else max(0, stop - start)
                while data := file.read(chunk if left is None else min(chunk, left)):
                    left = None if left is None else left - len(data)
                    yield data

        return chunks()

    def delete(self, key: str) -> None:
        path = self.path(key)
        with _translated(key):
            path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == self.root:
                break
            try:
                parent.rmdir()
            except OSError:
                break

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        # Start at the deepest folder that the prefix names, and compare keys from there.
        folder = self.root / prefix.rpartition("/")[0]
        for path in _files_in_order(folder):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and not key.startswith(_UNFINISHED):
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    yield ObjectInfo(key, status.st_size, "", status.st_mtime)

    def presign(self, key: str, *, seconds: int = 300, filename: str | None = None) -> str | None:  # noqa: ARG002
        return None

    def clock(self) -> float:
        # A file's time is told by whoever serves the folder, which need not be this machine.
        probe = self.root / _UNFINISHED / uuid4().hex
        with _translated():
            probe.touch()
            try:
                return probe.stat().st_mtime
            finally:
                probe.unlink()

    def sweep_unfinished(self, older_than_seconds: float, keep: Collection[str] = ()) -> int:  # noqa: ARG002
        removed, now = 0, self.clock()
        for path in (self.root / _UNFINISHED).iterdir():
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > older_than_seconds:
                    path.unlink()
                    removed += 1
        return removed

    def path(self, key: str) -> Path:
        """The file of a key. Raises NotFound for a key that is not one of ours."""
        return self.root.joinpath(*check_key(key).split("/"))


class _LocalWriter:
    """One object on its way into a `LocalObjects`."""

    def __init__(self, store: LocalObjects, key: str, size: int | None, sha256: str | None) -> None:
        self._key = key
        self._target = store.path(key)
        self._temporary = store.root / _UNFINISHED / uuid4().hex
        self._declared = DeclaredDigest(size, sha256)
        with _translated(key):
            self._file = self._temporary.open("xb")

    @property
    def written(self) -> int:
        return self._declared.written

    def write(self, chunk: bytes) -> None:
        self._declared.add(chunk)
        with _translated(self._key):
            self._file.write(chunk)

    def finish(self) -> ObjectInfo:
        sha256 = self._declared.check()
        with _translated(self._key):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self._temporary.stat().st_size != self.written:
                raise DigestMismatch(f"{self._key}: the file system kept fewer bytes than were written")
            self._rename()
            return ObjectInfo(self._key, self.written, sha256, self._target.stat().st_mtime)

    def _rename(self) -> None:
        # delete() prunes empty folders and may take ours before or after mkdir has looked at it: make it again.
        for left in reversed(range(_TRIES)):
            try:
                self._target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(self._temporary, self._target)
                return
            except (FileNotFoundError, FileExistsError):
                if not left or not self._temporary.exists():
                    raise

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _translated(key: str = "") -> Iterator[None]:
    """The operating system's errors in the store's words."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"no object {key!r}") from error
    except OSError as error:
        raise _in_words_of_the_store(error) from error


def _in_words_of_the_store(error: OSError) -> StorageFull | StoreUnavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("no space left for objects")
    return StoreUnavailable("the object folder cannot be used", cause=str(error.strerror))
