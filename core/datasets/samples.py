"""One labelled sample as files: what a shard holds of it, made and read back.

===================  =================================================================================================
``image.png``        RGB
``mask.png``         palette PNG, the pixel's value is the class id (the ignore index where there are no classes)
``json``             the record: index, seed, sampler, uncertainty, pixels of each class
``code.PART.npy``    the code that the image was drawn from (see :mod:`core.datasets.code_files`)
``depth.npy``        where depth is a task: float32 [H, W] in the label set's unit
``uncertainty.png``  on request: divergence of each pixel, 16-bit grey in units of 0.0001 nat
===================  =================================================================================================
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.code_files import code_files, read_code
from core.errors import Problem, ShardError
from core.generators.interface import Codes, CodeSpec

IMAGE, MASK, RECORD, UNCERTAINTY = "image.png", "mask.png", "json", "uncertainty.png"
DEPTH = "depth.npy"
NATS_PER_LEVEL = 1e-4
# Lossless at any level; level 1 is several times faster than the default and hardly larger on photographs.
_PNG_LEVEL = 1


def encode_sample(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    code: Mapping[str, NDArray[Any]] | NDArray[Any],
    record: Mapping[str, Any],
    colour_table: NDArray[np.uint8],
    divergence: NDArray[np.float32] | None = None,
    depth: NDArray[np.float32] | None = None,
) -> dict[str, bytes]:
    """The files of one sample, by suffix. Equal input gives equal bytes.

    ``image``: uint8 [H, W, 3]. ``mask``: uint8 [H, W]. ``code``: its parts by name, without the batch; one array is the
    part "code". ``record``: JSON values with ``index`` and ``uncertainty`` at least; ``pixels`` (id → count) is added.
    ``colour_table``: uint8 [256, 3].
    ``divergence``: float32 [H, W], nats, stored as 16-bit levels of 0.0001 nat (up to 6.55, more than ln 256).
    ``depth``: float32 [H, W]. Keypoints stand in the record.
    """
    counts = np.bincount(mask.ravel(), minlength=256)
    pixels = {str(class_id): int(counts[class_id]) for class_id in np.flatnonzero(counts)}
    files = {
        IMAGE: _png(Image.fromarray(image)),
        MASK: _png(_palette_image(mask, colour_table)),
        RECORD: json.dumps({**record, "pixels": pixels}, sort_keys=True, allow_nan=False, ensure_ascii=False).encode(),
        **code_files(code if isinstance(code, Mapping) else {"code": code}),
    }
    if divergence is not None:
        levels = np.rint(divergence / NATS_PER_LEVEL).clip(0, 65535).astype(np.uint16)
        files[UNCERTAINTY] = _png(Image.fromarray(levels))
    if depth is not None:
        files[DEPTH] = _npy(depth.astype("<f4", copy=False))
    return files


@dataclass(frozen=True)
class StoredSample:
    """A sample as read from a shard: its ``index`` in the stream and its files by suffix, decoded when asked for."""

    index: int
    files: Mapping[str, bytes]

    def image(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        return np.array(self._picture(IMAGE).convert("RGB"))

    def mask(self) -> NDArray[np.uint8]:
        """uint8 [H, W] class ids."""
        return np.array(self._picture(MASK))

    def divergence(self) -> NDArray[np.float32] | None:
        """float32 [H, W] in nats, to 0.00005; None where the shard has no map."""
        if UNCERTAINTY not in self.files:
            return None
        return np.array(self._picture(UNCERTAINTY)).astype(np.float32) * np.float32(NATS_PER_LEVEL)

    def code(self, spec: CodeSpec) -> Codes:
        """The code of this one image, by the specification of the generator that drew it."""
        try:
            return read_code(self.files, spec, self.record().get("class_index"))
        except KeyError as error:
            raise self._damaged(str(error.args[0]), "is missing") from error
        except (ValueError, EOFError, OSError, IndexError) as error:
            raise self._damaged("code", error) from error

    def depth(self) -> NDArray[np.float32] | None:
        """float32 [H, W] in the label set's unit; None where the shard has no depth."""
        return self._numbers(DEPTH) if DEPTH in self.files else None

    def keypoints(self) -> NDArray[np.float32] | None:
        """float32 [K, 4]: x, y, visibility (2 seen, 0 not found), height of the peak; None where there are none."""
        points = self.record().get("keypoints")
        return None if points is None else np.array(points, np.float32).reshape(-1, 4)

    def record(self) -> dict[str, Any]:
        """The JSON record."""
        try:
            record = json.loads(self.file(RECORD))
        except ValueError as error:
            raise self._damaged(RECORD, error) from error
        if not isinstance(record, dict):
            raise self._damaged(RECORD, "is no object")
        return record

    def file(self, suffix: str) -> bytes:
        """The file with this suffix as it stands in the shard. Raises ShardError when it is missing."""
        if suffix not in self.files:
            raise self._damaged(suffix, "is missing")
        return self.files[suffix]

    def _numbers(self, suffix: str) -> NDArray[np.float32]:
        try:
            return np.asarray(np.load(io.BytesIO(self.file(suffix)), allow_pickle=False), np.float32)
        except (ValueError, EOFError, OSError) as error:
            raise self._damaged(suffix, error) from error

    def _picture(self, suffix: str) -> Image.Image:
        try:
            image = Image.open(io.BytesIO(self.file(suffix)), formats=("PNG",))
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise self._damaged(suffix, error) from error
        return image

    def _damaged(self, suffix: str, why: object) -> ShardError:
        return ShardError("a sample cannot be read", [Problem(str(why), f"{self.index:09d}.{suffix}")])


def _palette_image(mask: NDArray[np.uint8], colour_table: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(mask).convert("L")
    image.putpalette(colour_table.tobytes())
    return image


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def _npy(array: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()
