"""Depth maps of a label set: ``depth/NAME.png``, ``.npy`` or ``.exr``, and ``depth.json`` with their unit.

::

    {"unit": "m", "scale": 0.001, "invalid": 0}

A stored value times ``scale`` is the depth in ``unit``; ``invalid`` (or 0, or less than one step) marks pixels where
nothing was measured. PNG maps are grey of 8 or 16 bits; NPY maps are two-dimensional arrays of numbers; of EXR pictures
the channel Z counts, or the only one.
"""

import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelSetError, Problem
from core.label_sets.reading.exr import decode_exr
from core.label_sets.reading.images import PictureError, PictureLimits, decode_grey
from core.label_sets.reading.json_files import is_number, parse_json

DEPTHS, DEPTH_FILE = "depth", "depth.json"
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class DepthUnit:
    """How stored values become depth."""

    unit: str = "m"
    scale: float = 1.0
    invalid: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The canonical form."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: object, pointer: str = DEPTH_FILE) -> "DepthUnit":
        """Raises :class:`LabelSetError` naming every wrong field."""
        if not isinstance(document, dict):
            raise _error(['write {"unit": "m", "scale": 0.001, "invalid": 0}'], pointer)
        problems = [f"unknown field {name!r}" for name in sorted(map(str, document)) if name not in vars(cls())]
        unit = document.get("unit", cls.unit)
        scale, invalid = document.get("scale", cls.scale), document.get("invalid", cls.invalid)
        if not isinstance(unit, str) or not unit.isprintable() or not 1 <= len(unit) <= 20:
            problems.append("unit is not a name of 1 to 20 printable characters")
        if not is_number(scale) or scale <= 0:
            problems.append("scale is not a number above 0")
        if not is_number(invalid):
            problems.append("invalid is not a number")
        if problems:
            raise _error(problems, pointer)
        return cls(unit, float(scale), float(invalid))

    @classmethod
    def from_bytes(cls, content: bytes, pointer: str = DEPTH_FILE) -> "DepthUnit":
        """Parse a ``depth.json`` of at most 1 MiB; errors as in :meth:`from_json`."""
        try:
            document = parse_json(content, MAX_FILE_BYTES)
        except ValueError as error:
            raise _error([str(error)], pointer) from error
        return cls.from_json(document, pointer)


def decode_depth(
    name: str, content: bytes, unit: DepthUnit, limits: PictureLimits | None = None
) -> NDArray[np.float32]:
    """A depth map in the set's unit, float32 [H, W], 0 where nothing was measured.

    Raises :class:`core.label_sets.reading.images.PictureError` for damaged files and for negative, NaN or infinite
    values that are not the invalid one.
    """
    stored = _stored(name.lower(), content, limits or PictureLimits())
    values = stored.astype(np.float64)
    values[stored == unit.invalid] = 0
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        count, marker = int(wrong.sum()), f"{unit.invalid:g} where nothing was measured"
        raise PictureError(f"{count:,} values are negative, NaN or infinite: write {marker}")
    return (values * unit.scale).astype(np.float32)


def _stored(name: str, content: bytes, limits: PictureLimits) -> NDArray[Any]:
    if name.endswith(".npy"):
        return _array(content, limits)
    return decode_exr(content, limits) if name.endswith(".exr") else decode_grey(content, limits)


def _array(content: bytes, limits: PictureLimits) -> NDArray[Any]:
    try:
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if len(shape) != 2 or dtype.kind not in "fui" or not 0 < shape[0] * shape[1] <= limits.max_pixels:
            raise PictureError(f"holds {dtype} of the shape {shape}: a map [height, width] of numbers is wanted")
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    except PictureError:
        raise
    except (ValueError, EOFError, OSError, TypeError, SyntaxError, KeyError) as error:
        raise PictureError(f"cannot be read as NPY: {error}") from error


def _error(problems: list[str], pointer: str) -> LabelSetError:
    return LabelSetError("the depth maps are not usable", [Problem(text, pointer) for text in problems])
