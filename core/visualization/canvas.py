"""What the pictures are drawn with: nearest upscaling, overlays, heat colours, text, legends."""

import io
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

INK, FAINT, PAPER, ALARM = (32, 32, 36), (110, 110, 118), (255, 255, 255), (200, 30, 30)
Colour = tuple[int, int, int]

_SPELT_OUT = str.maketrans({"ψ": "psi", "×": "x", "≥": ">=", "≤": "<=", "→": "->", "−": "-", "–": "-", "—": "-"})

# Anchors of a dark-to-light scale whose lightness rises evenly, so that it reads in grey as well.
_HEAT = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ],
    np.float64,
)


def fitted(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """The picture with its longer side near ``side``: up by a whole factor, every pixel kept, or down by averaging."""
    image = Image.fromarray(pixels)
    longer = max(image.size)
    if longer > side:
        size = (max(1, image.width * side // longer), max(1, image.height * side // longer))
        return image.resize(size, Image.Resampling.BOX)
    factor = max(1, side // longer)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], colour_table: NDArray[np.uint8], strength: float = 0.55
) -> NDArray[np.uint8]:
    """uint8 [H, W, 3]: the grey image under the colours of its mask."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)  # [H, W]
    mixed = (1 - strength) * grey[:, :, None] + strength * colour_table[mask]
    return np.rint(mixed).astype(np.uint8)


def heat(values: NDArray[np.floating], top: float) -> NDArray[np.uint8]:
    """uint8 [H, W, 3]: ``values`` from 0 (black) to ``top`` and more (pale yellow)."""
    position = np.clip(values / max(top, 1e-12), 0, 1) * (len(_HEAT) - 1)
    low = np.minimum(position.astype(int), len(_HEAT) - 2)
    share = (position - low)[..., None]
    mixed: NDArray[np.float64] = _HEAT[low] * (1 - share) + _HEAT[low + 1] * share
    return np.rint(mixed).astype(np.uint8)


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow: the same on every machine."""
    return ImageFont.load_default(size)


def drawable(text: str) -> str:
    """``text`` with what the font lacks spelt out or replaced by ``?``."""
    text = unicodedata.normalize("NFC", text).translate(_SPELT_OUT)
    return "".join(one if ord(one) < 0x180 or one == "…" else "?" for one in text)


def text_width(text: str, size: int) -> int:
    """Pixels that ``text`` takes."""
    return round(font(size).getlength(drawable(text)))


def shortened(text: str, width: int, size: int) -> str:
    """``text``, cut with … to fit ``width`` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: Colour = INK) -> None:
    """Put ``text`` with its top left corner ``at`` (x, y)."""
    draw.text(at, drawable(text), fill=colour, font=font(size))


def wrapped(text: str, width: int, size: int) -> list[str]:
    """``text`` in lines of at most ``width`` pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def legend(entries: Sequence[tuple[str, Colour]], width: int, size: int = 13) -> Image.Image:
    """Swatches with names, in as many rows as ``width`` needs."""
    box, gap, line = size, 6, size + 9
    at_x, at_y = 0, 0
    placed: list[tuple[int, int, str, Colour]] = []
    for text, colour in entries:
        needed = box + gap + text_width(text, size)
        if at_x and at_x + needed > width:
            at_x, at_y = 0, at_y + line
        placed.append((at_x, at_y, text, colour))
        at_x += needed + 16
    image = Image.new("RGB", (width, at_y + line), PAPER)
    draw = ImageDraw.Draw(image)
    for left, top, text, colour in placed:
        draw.rectangle((left, top + 2, left + box, top + 2 + box), fill=colour, outline=FAINT)
        write(draw, (left + box + gap, top + 1), text, size)
    return image


def heat_bar(width: int, label: str, size: int = 13) -> Image.Image:
    """The heat scale from 0, with ``label`` at its upper end."""
    bar = 140
    image = Image.new("RGB", (width, size + 9), PAPER)
    scale = heat(np.tile(np.linspace(0, 1, bar), (size, 1)), 1.0)
    draw = ImageDraw.Draw(image)
    write(draw, (0, 1), "0", size)
    image.paste(Image.fromarray(scale), (14, 3))
    write(draw, (14 + bar + 8, 1), label, size)
    return image


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=False, compress_level=6)
    return stream.getvalue()


def with_points(
    image: NDArray[np.uint8], points: NDArray[np.float32], step: int, visible_in: Colour, hidden_in: Colour
) -> NDArray[np.uint8]:
    """Keypoints, float32 [K, 3] as (x, y, visibility), as rings on every ``step``-th pixel of their image."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    radius = max(2, max(canvas.size) // 60)
    for x, y, visible in points.tolist():
        if visible:
            at = (x / step - radius, y / step - radius, x / step + radius, y / step + radius)
            draw.ellipse(at, outline=visible_in if visible == 2 else hidden_in, width=max(1, radius // 2))
    return np.array(canvas)
