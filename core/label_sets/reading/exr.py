"""Depth maps as OpenEXR pictures (https://openexr.com): one channel of half, float or whole numbers."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.label_sets.reading.images import PictureError, PictureLimits

#: Names that renderers give to depth, the usual one first; a picture of one channel may call it anything.
DEPTH_CHANNELS = ("Z", "depth.Z", "Depth.Z", "depth", "Depth", "Y")


def decode_exr(content: bytes, limits: PictureLimits) -> NDArray[Any]:
    """The channel that holds depth, [H, W] of float16, float32 or uint32, over the picture's data window.

    Raises :class:`core.label_sets.reading.images.PictureError` for what is damaged, too large or has no such channel.
    """
    # Imported here: most label sets have no use for it.
    import OpenEXR

    try:
        header = OpenEXR.File(io.BytesIO(content), separate_channels=True, header_only=True).header()
        (left, top), (right, bottom) = (map(int, corner) for corner in header["dataWindow"])
        width, height = right - left + 1, bottom - top + 1
        if not 0 < width * height <= limits.max_pixels or max(width, height) > limits.max_side:
            raise PictureError(f"is {width} x {height} pixels: at most {limits.max_pixels:,} are taken")
        names = [str(channel.name) for channel in header["channels"]]
        name = _depth_channel(names)
        pixels = OpenEXR.File(io.BytesIO(content), separate_channels=True, num_threads=0).channels()[name].pixels
    except (RuntimeError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise PictureError(f"cannot be read as OpenEXR: {error}") from error
    if pixels.shape != (height, width):
        raise PictureError(f"its channel {name} is {pixels.shape[::-1]} and its picture {(width, height)}")
    return np.asarray(pixels)


def _depth_channel(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    for name in DEPTH_CHANNELS:
        if name in names:
            return name
    raise PictureError(f"has the channels {', '.join(names) or 'none'}: write depth as one channel, or call it Z")
