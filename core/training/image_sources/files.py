"""Files of a folder or an untrusted archive: their names first, then each in turn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.callbacks import ShouldStop, never_stop, stop_if_asked
from core.errors import ImageSetError, LabelSetError, Problem
from core.label_sets.reading.archive import BEGINNING, ArchiveLimits, iterate_archive, list_archive
from core.label_sets.reading.entry_names import is_dropping

LIMITS = ArchiveLimits(
    max_archive_bytes=1 << 42,
    max_entries=8_000_000,
    max_directory_entries=1_000_000,
    max_entry_bytes=4 << 30,
    max_total_bytes=1 << 42,
    archives_inside=True,
)
_INNER_LIMITS = replace(LIMITS, archives_inside=False)


@dataclass(frozen=True)
class Files:
    """Names of files, the beginning of some, and a stream of all: ``each()`` yields (name, path), a path being good
    until the next one is asked for.
    """

    names: tuple[str, ...]
    beginnings: dict[str, bytes]
    each: Callable[[], Iterator[tuple[str, Path]]] = field(repr=False)


def open_files(
    path: Path,
    into: Path,
    beginning_of: Callable[[str], bool] = lambda _name: False,
    should_stop: ShouldStop = never_stop,
    *,
    inner: bool = False,
) -> Files:
    """Return the files of a folder or archive. into: folder for one temporary file at a time. beginning_of: names of
    files to read a little of. inner: ``path`` is an archive from inside another one, and may hold none itself.

    Raises :class:`ImageSetError` with every problem of an archive's names; ``each`` raises it, after the last file,
    with every problem of their contents.
    """
    if path.is_dir():
        return _of_folder(path, beginning_of, should_stop)
    limits = _INNER_LIMITS if inner else LIMITS
    try:
        listed = list_archive(path, limits, should_stop, beginning_of)
    except LabelSetError as error:
        raise ImageSetError(error.detail, error.problems) from error

    def each() -> Iterator[tuple[str, Path]]:
        try:
            for name, file in iterate_archive(path, into, limits, should_stop):
                yield name, file
                file.unlink(missing_ok=True)
        except LabelSetError as error:
            raise ImageSetError(error.detail, error.problems) from error

    return Files(listed.names, listed.beginnings, each)


def _of_folder(folder: Path, beginning_of: Callable[[str], bool], should_stop: ShouldStop) -> Files:
    """Return the files of a folder of the caller's own; links are followed for files and not for folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stop_if_asked(should_stop)
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not is_dropping(name):
            found[name] = path
    if not found:
        raise ImageSetError("these images cannot be read", [Problem("holds no file", folder.name)])
    beginnings = {}
    for name in filter(beginning_of, found):
        with found[name].open("rb") as file:
            beginnings[name] = file.read(BEGINNING)
    return Files(tuple(found), beginnings, lambda: iter(found.items()))
