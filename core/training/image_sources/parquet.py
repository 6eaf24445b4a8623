"""Photographs in parquet files, as datasets of the Hugging Face hub have them.

An image is a column of bytes, or of structs {bytes, path}; a class a column of text, or of numbers whose names stand
in the file's metadata (feature ``ClassLabel``). https://huggingface.co/docs/datasets/image_dataset
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import ImageSetError, Problem
from core.training.image_sources.contents import MOST_IMAGE_BYTES
from core.training.images import SourceImage

MAGIC = b"PAR1"
_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "picture", "photo")
_CLASS_COLUMNS = ("label", "labels", "class", "class_name", "cls", "category", "fine_label")
_ROWS = 32
_MOST_METADATA = 64 << 20


def photographs_in_parquet(path: Path, name: str) -> Iterator[SourceImage]:
    """Yield the photographs with their classes; memory holds a few rows and one page of a column.

    Raises :class:`ImageSetError` for a damaged file, one without a column of images, and images that are only named.
    """
    try:
        with pq.ParquetFile(
            path, thrift_string_size_limit=_MOST_METADATA, thrift_container_size_limit=_MOST_METADATA, pre_buffer=False
        ) as file:
            columns = _Columns(file.schema_arrow, name)
            batches = file.iter_batches(_ROWS, columns=columns.wanted, use_threads=False)
            row = 0
            for batch in batches:
                yield from columns.images(batch, row)
                row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ImageSetError("the parquet file cannot be read", [Problem(str(error), name)]) from error


class _Columns:
    """Columns of images and classes of one file."""

    def __init__(self, schema: pa.Schema, file_name: str) -> None:
        features = _features(schema)
        self.file_name = file_name
        self.image = _declared(features, "Image") or _image_column(schema)
        self.label = _declared(features, "ClassLabel") or next(
            (name for name in _CLASS_COLUMNS if name in schema.names and _is_class(schema.field(name).type)), None
        )
        if self.image is None or self.image not in schema.names:
            detail = f"expected a column of image bytes, found {', '.join(schema.names) or 'none'}"
            raise ImageSetError("the parquet file holds no images", [Problem(detail, file_name)])
        names = features.get(self.label, {}).get("names") if self.label else None
        self.class_names = names if isinstance(names, list) else None
        self.wanted = [self.image, *([self.label] if self.label in schema.names else [])]

    def images(self, batch: pa.RecordBatch, first: int) -> Iterator[SourceImage]:
        """Yield the images of some rows, of which the first has the number ``first``."""
        for at, row in enumerate(batch.to_pylist(), start=first):
            name = f"{self.file_name}#{at}"
            cell = row[self.image]
            content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
            if content is None and path:
                detail = "is named and not in the file: write the dataset with its images embedded"
                raise ImageSetError("the parquet file holds no images", [Problem(detail, f"{name} {path}")])
            yield SourceImage(
                f"{name} {path}" if path else name,
                (content or b"")[:MOST_IMAGE_BYTES],
                self._class_name(row.get(self.label)) if self.label else None,
            )

    def _class_name(self, value: Any) -> str | None:
        if value is None or (isinstance(value, int) and value < 0):  # -1: not labelled
            return None
        if self.class_names and isinstance(value, int) and value < len(self.class_names):
            return str(self.class_names[value])
        return str(value)


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Return the features that the metadata describe, by column."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        found = described["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {name: one for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}


def _declared(features: dict[str, dict[str, Any]], kind: str) -> str | None:
    return next((name for name, one in features.items() if one.get("_type") == kind), None)


def _image_column(schema: pa.Schema) -> str | None:
    """Return the first column of structs with bytes, else one of bytes with a usual name."""
    for field in schema:
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return str(field.name)
    binary = (pa.types.is_binary, pa.types.is_large_binary)
    return next(
        (
            name
            for name in _IMAGE_COLUMNS
            if name in schema.names and any(test(schema.field(name).type) for test in binary)
        ),
        None,
    )


def _is_class(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))
