"""Untrusted picture files to arrays: photographs to RGB, masks to class ids.

Only decoded pixels go on from here, never the file, so what else a file may be (a script, an archive) is lost with it.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
#: Where the header of a PNG has its colour type: 0 and 4 grey, 2 and 6 colour, 3 palette.
_PNG_COLOUR_TYPE = 25
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LOSSY_SIGNATURES = (b"\xff\xd8\xff", b"RIFF")
_ORIENTATION = 0x0112
_NO_PNG = "a mask must be a PNG"
_LOSSY = (
    f"{_NO_PNG}; this one is JPEG or WebP, whose compression changes ids, and converting it does not bring them back: "
    "export the masks as PNG from the tool that drew them"
)
_ID_MASK = "a mask must be a palette or grey PNG whose values are class ids"
_FROM_COLOURS = (
    "Write the id of each colour: ids = numpy.zeros(rgb.shape[:2], 'uint8'); ids[(rgb == (R, G, B)).all(-1)] = ID; "
    "or send the folders of Pascal VOC with a labelmap.txt, which has a line NAME:R,G,B:: for each class"
)


class PictureError(ValueError):
    """The file is refused; the message says why, without the file's name."""


class MaskFormatError(PictureError):
    """The file is a picture of a form that holds no class ids; the message gives the way to convert it."""


@dataclass(frozen=True)
class PictureLimits:
    """How large a picture may be, in pixels."""

    max_pixels: int = 40_000_000
    max_side: int = 16_384
    max_total_pixels: int = 4_000_000_000


@dataclass(frozen=True)
class Picture:
    """Decoded pixels and what was done to get them, in words.

    ``pixels``: uint8 [H, W, 3] RGB of a photograph, uint8 [H, W] ids of a mask.
    ``stored_size`` is (height, width) before the EXIF orientation was applied.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]
    stored_size: tuple[int, int]


def decode_image(content: bytes, limits: PictureLimits | None = None) -> Picture:
    """A photograph as RGB: orientation applied, transparency laid on white, grey, palette, 16-bit and CMYK converted.

    Raises :class:`PictureError`.
    """
    image, depth = _load(content, IMAGE_FORMATS, limits or PictureLimits())
    stored_size = (image.height, image.width)
    notes: list[str] = []
    image = _upright(image, notes)
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        wide = np.asarray(image).astype(np.int64)  # [H, W] 0..65535
        image = Image.fromarray(np.clip((wide + 128) // 257, 0, 255).astype(np.uint8))
        notes.append("16-bit grey brought to 8 bits")
    elif depth == 16:
        notes.append("16-bit colour brought to 8 bits")
    if image.has_transparency_data:
        image, transparent = _flattened(image)
        if transparent:
            notes.append("transparency laid on white")
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB without its colour profile")
    elif image.mode in ("L", "1"):
        notes.append("grey repeated in three channels")
    return Picture(np.array(image.convert("RGB")), tuple(notes), stored_size)


def decode_mask(content: bytes, limits: PictureLimits | None = None) -> Picture:
    """Return a label mask as class ids 0..255: palette or grey PNG of 1 to 8 bits, 16-bit grey whose values fit in 8,
    or 8-bit colour whose three channels are equal and whose alpha, if any, is opaque.

    Raises :class:`PictureError`; :class:`MaskFormatError` for other colour pictures and for JPEG and WebP.
    """
    if content.startswith(_LOSSY_SIGNATURES):
        raise MaskFormatError(_LOSSY)
    image, depth = _load(content, ("PNG",), limits or PictureLimits(), refusal=_NO_PNG)
    stored_size = (image.height, image.width)
    notes: list[str] = []
    image = _upright(image, notes)
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.max(initial=0) > 255:
            raise PictureError(f"16-bit mask with the value {wide.max()}: class ids end at 254 and ignore_index at 255")
        notes.append("16-bit mask brought to 8 bits")
        return Picture(wide.astype(np.uint8), tuple(notes), stored_size)
    if image.mode not in ("P", "L", "1"):
        notes.append(f"{image.mode} with equal channels read as grey")
        return Picture(_equal_channels(image, depth), tuple(notes), stored_size)
    ids = np.array(image).astype(np.uint8)  # [H, W]; palette indices for "P"
    if image.mode == "L" and depth in (2, 4):
        ids //= 255 // (2**depth - 1)  # the decoder spreads small grey depths over 0..255
    return Picture(ids, tuple(notes), stored_size)


def _equal_channels(image: Image.Image, depth: int | None) -> NDArray[np.uint8]:
    """Return the one grey of a colour picture, uint8 [H, W]. Raises :class:`MaskFormatError` where channels differ."""
    *colour, alpha = image.convert("RGBA").split()
    red, green, blue = (np.asarray(channel) for channel in colour)
    equal = depth == 8 and (red == green).all() and (red == blue).all()
    if not equal or alpha.getextrema()[0] != 255:
        raise MaskFormatError(f"{_ID_MASK}; this one is {image.mode} (colour or alpha). {_FROM_COLOURS}")
    return red.copy()


def png_palette(content: bytes) -> NDArray[np.uint8] | None:
    """Return the palette of a palette PNG that :func:`decode_mask` accepts, uint8 [N, 3]; None for other pictures."""
    if not content.startswith(_PNG_SIGNATURE) or content[_PNG_COLOUR_TYPE : _PNG_COLOUR_TYPE + 1] != b"\3":
        return None
    at = len(_PNG_SIGNATURE)
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind == b"PLTE":
            return np.frombuffer(content, np.uint8, length // 3 * 3, at + 8).reshape(-1, 3)
        at += 12 + length
    return None


def is_painted(content: bytes) -> bool:
    """Return whether a picture has colours and no palette: not a PNG, or one of RGB or RGBA."""
    return not content.startswith(_PNG_SIGNATURE) or content[_PNG_COLOUR_TYPE : _PNG_COLOUR_TYPE + 1] in (b"\2", b"\6")


def decode_grey(content: bytes, limits: PictureLimits | None = None) -> NDArray[np.int64]:
    """A grey PNG of 8 or 16 bits as the numbers that it stores, int64 [H, W]. Raises :class:`PictureError`."""
    image, _ = _load(content, ("PNG",), limits or PictureLimits(), refusal="a map of numbers must be a PNG")
    image = _upright(image, [])
    if image.mode not in ("L", "I;16", "I;16B", "I;16L", "I"):
        raise PictureError(f"a map of numbers must be a grey PNG; this one is {image.mode} (colour, palette or alpha)")
    return np.asarray(image).astype(np.int64)


def header_sizes(content: bytes, limits: PictureLimits | None = None) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) of a photograph after its EXIF orientation is applied, and before. Raises PictureError."""
    image, _ = _load(content, IMAGE_FORMATS, limits or PictureLimits(), decode=False)
    stored = (image.height, image.width)
    return (stored[::-1] if _orientation(image) >= 5 else stored), stored


def declared_pixels(path: Path, *, photographs_only: bool = False) -> int:
    """Width times height by the header of a picture, nothing of which is decoded; 0 for any other or damaged file.

    ``photographs_only``: 0 also for pictures that may be masks (black and white, grey, palette).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                if photographs_only and image.mode not in ("RGB", "RGBA", "CMYK", "YCbCr"):
                    return 0
                return image.width * image.height
    except Exception:  # whatever is wrong with it is named when it is decoded
        return 0


def _load(
    content: bytes, formats: tuple[str, ...], limits: PictureLimits, refusal: str = "", decode: bool = True
) -> tuple[Image.Image, int | None]:
    """The picture, its pixels there if ``decode``, and, for PNG, its bits per channel."""
    depth = _check_png(content, limits) if content.startswith(_PNG_SIGNATURE) else None
    # Set each time: with it on, a truncated file would decode to grey without a word.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged metadata, which is not kept
            image = Image.open(io.BytesIO(content), formats=formats)
            _check_size(image.width, image.height, limits)
            # Phones append depth maps and thumbnails to a JPEG (MPO): its first picture is the photograph.
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise PictureError("is an animation: expected a still image")
            if decode:
                image.load()
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        wanted = refusal or f"is not a readable picture ({', '.join(formats)})"
        raise PictureError(wanted) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"has more than {limits.max_pixels:,} pixels") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        struct.error,
        zlib.error,
    ) as error:
        # Everything that decoders are known to raise on damaged files.
        raise PictureError(f"cannot be decoded: {error}") from error
    return image, depth


def _check_size(width: int, height: int, limits: PictureLimits) -> None:
    if width < 1 or height < 1:
        raise PictureError("has no pixels")
    if width * height > limits.max_pixels:
        raise PictureError(f"is {width} x {height}: more than {limits.max_pixels:,} pixels")
    if max(width, height) > limits.max_side:
        raise PictureError(f"is {width} x {height}: a side has at most {limits.max_side:,} pixels")


def _check_png(content: bytes, limits: PictureLimits) -> int:
    """Walk the chunks of a PNG, which the decoder does only in part: sums, size, end. Returns bits per channel."""
    at, depth, kind = len(_PNG_SIGNATURE), 0, b""
    while kind != b"IEND":
        if len(content) < at + 12:
            raise PictureError("is truncated")
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if len(content) < at + 12 + length:
            raise PictureError("is truncated")
        data = memoryview(content)[at + 4 : at + 8 + length]
        if zlib.crc32(data) != struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0]:
            raise PictureError(f"is damaged: the checksum of its {kind.decode('latin-1')!r} part is wrong")
        if at == len(_PNG_SIGNATURE):
            if kind != b"IHDR" or length != 13:
                raise PictureError("is damaged: it does not begin with a header")
            width, height, depth = struct.unpack(">IIB", data[4:13])
            _check_size(width, height, limits)
        at += 12 + length
    if at != len(content):
        raise PictureError(f"is more than a PNG: {len(content) - at:,} bytes follow its end")
    return depth


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    orientation = _orientation(image)
    if orientation == 1:
        return image
    notes.append(f"turned upright (EXIF orientation {orientation})")
    turned = ImageOps.exif_transpose(image)
    assert turned is not None
    return turned


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; unreadable metadata count as 1."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return 1
    return int(orientation) if orientation in range(2, 9) else 1


def _flattened(image: Image.Image) -> tuple[Image.Image, bool]:
    """Laid on white, and whether any pixel was less than opaque."""
    rgba = image.convert("RGBA")
    transparent = rgba.getchannel("A").getextrema()[0] != 255
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB"), transparent
