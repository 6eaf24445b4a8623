"""Codes as files of a sample: one ``code.<part>.npy`` for each part, equal rows stored once.

A code whose rows repeat is stored as its distinct rows and, where more than one is left, ``code.<part>.rows.npy``, the
number of the stored row for each row of the code; as it is where that would not save space. Shards of the first release
hold their only part as ``latent.npy``.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.generators.interface import Codes, CodeSpec

PREFIX, ROWS = "code.", ".rows"
FIRST_RELEASE = "latent.npy"
_BYTES_OF_A_FILE = 1024
"""Of a short file in a tar: header and content in blocks of 512."""
_STORED: Mapping[str, str] = {"float32": "<f4", "int16": "<i2", "int64": "<i8"}


def code_arrays(code: Codes) -> dict[str, NDArray[Any]]:
    """Return the parts of one image's code (N = 1) as arrays, without the batch."""
    return {name: part[0].cpu().numpy() for name, part in code.parts.items()}


def code_files(code: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """Return the files of one image's code, by suffix. code: float32, int16 or int64 arrays by part, without the batch.
    Equal codes give equal bytes.
    """
    files: dict[str, bytes] = {}
    for name, part in code.items():
        values = part.astype(_STORED[part.dtype.name], copy=False)
        distinct, rows = _distinct_rows(values)
        repeats = len(distinct) > 1
        if values.nbytes - distinct.nbytes <= _BYTES_OF_A_FILE * repeats:
            distinct, repeats = values, False
        files[f"{PREFIX}{name}.npy"] = _npy(distinct)
        if repeats:
            files[_rows_of(name)] = _npy(rows)
    return files


def read_code(files: Mapping[str, bytes], spec: CodeSpec, class_index: int | None) -> Codes:
    """Return the code (N = 1) that :func:`code_files` wrote, or that of a shard of the first release.

    Raises KeyError that names a missing file, ValueError, EOFError or OSError for damaged ones.
    """
    parts = {}
    for name, part in spec.parts.items():
        suffix = f"{PREFIX}{name}.npy"
        if suffix not in files and FIRST_RELEASE in files and len(spec.parts) == 1:
            suffix = FIRST_RELEASE
        values = _array(files[suffix])
        if values.shape != part.shape:
            places = np.zeros(part.shape[0], np.uint16) if len(values) == 1 else _array(files[_rows_of(name)])
            values = values[places]
        if values.shape != part.shape:
            raise ValueError(f"{suffix} has the shape {list(values.shape)}, expected {list(part.shape)}")
        parts[name] = torch.from_numpy(np.ascontiguousarray(values)).to(part.torch_dtype)[None]
    classes = None if class_index is None else torch.tensor([class_index])
    return Codes(parts, classes)


def _rows_of(name: str) -> str:
    return f"{PREFIX}{name}{ROWS}.npy"


def _distinct_rows(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Return the distinct rows in the order of their first appearance, and the number of each row's."""
    if values.ndim < 2:
        return values, np.zeros(0, np.uint16)
    numbers: dict[bytes, int] = {}
    rows = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in values], np.uint16)
    first = [int(np.argmax(rows == number)) for number in range(len(numbers))]
    return np.ascontiguousarray(values[first]), rows


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _array(content: bytes) -> NDArray[Any]:
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
