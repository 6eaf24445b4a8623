"""Photographs of a folder, an archive, a WebDataset or parquet files, as one stream with classes and licence."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core.callbacks import ShouldStop, never_stop
from core.errors import ImageSetError, Problem
from core.training.image_sources.class_folders import IMAGE_SUFFIXES, is_image, photographs_in_folders
from core.training.image_sources.files import Files, open_files
from core.training.image_sources.licences import licence_of, may_state_licence
from core.training.image_sources.parquet import MAGIC, photographs_in_parquet
from core.training.image_sources.webdataset import is_webdataset, photographs_of_samples
from core.training.images import SourceImage

SourceFormat = Literal["folders", "webdataset", "parquet"]
_PARQUET, _SHARD = ".parquet", ".tar"


@dataclass(frozen=True)
class Photographs:
    """A stream of photographs, to be read once. ``total``: how many files of images there are, 0 where not known.

    ``licence``: what a file beside them states; empty for nothing.
    """

    images: Iterator[SourceImage]
    format: SourceFormat
    licence: str
    total: int


def read_photographs(
    path: Path, folder: Path, *, classes: bool = True, should_stop: ShouldStop = never_stop
) -> Photographs:
    """Return the photographs of a folder, zip, tar, tar.gz or parquet file. folder: for one temporary file at a time.

    A folder or archive may hold tar or parquet files instead. classes: whether images get the classes that folders,
    labels or columns give. Names and entries of an archive are checked before any image is read; memory holds the names
    and one image. Raises :class:`ImageSetError` with every problem; the stream raises it for contents.
    """
    found = _of_parquet(path) if _is_parquet(path) else _of_files(path, folder, should_stop)
    if classes:
        return found
    return replace(found, images=(one._replace(class_name=None) for one in found.images))


def _is_parquet(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _of_parquet(path: Path) -> Photographs:
    return Photographs(photographs_in_parquet(path, path.name), "parquet", "", 0)


def _of_files(path: Path, folder: Path, should_stop: ShouldStop) -> Photographs:
    files = open_files(path, folder, may_state_licence, should_stop)
    licence = licence_of(files.beginnings)
    tables = [name for name in files.names if name.lower().endswith(_PARQUET)]
    images = sum(map(is_image, files.names))
    if tables and images:
        detail = f"holds {len(tables)} parquet files and {images} images: send one of both"
        raise ImageSetError("these images cannot be read", [Problem(detail, path.name)])
    if tables:
        return Photographs(_of_tables(files), "parquet", licence, 0)
    if not images and any(name.lower().endswith(_SHARD) for name in files.names):
        return Photographs(_of_shards(files, folder / "shard", should_stop), "webdataset", licence, 0)
    if not images:
        detail = (
            f"expected files of images ({', '.join(IMAGE_SUFFIXES[:5])}), found none among {len(files.names)} files"
        )
        raise ImageSetError("these images cannot be read", [Problem(detail, path.name)])
    kind: SourceFormat = "webdataset" if is_webdataset(files.names) else "folders"
    return Photographs(_of_images(files), kind, licence, images)


def _of_images(files: Files) -> Iterator[SourceImage]:
    return photographs_of_samples(files) if is_webdataset(files.names) else photographs_in_folders(files)


def _of_shards(files: Files, folder: Path, should_stop: ShouldStop) -> Iterator[SourceImage]:
    """Yield the photographs of tar files in a folder or archive, as WebDataset cuts a dataset into."""
    for name, path in files.each():
        if name.lower().endswith(_SHARD):
            for one in _of_images(open_files(path, folder, should_stop=should_stop, inner=True)):
                yield one._replace(name=f"{name}/{one.name}")


def _of_tables(files: Files) -> Iterator[SourceImage]:
    for name, path in files.each():
        if name.lower().endswith(_PARQUET):
            yield from photographs_in_parquet(path, name)
