"""Pictures of unlabelled images: some of each class, and examples under each rule that brings them to a size."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.label_sets.resize import Fit, fitted
from core.training.image_sources.examples import Photograph
from core.training.images import PackedImages
from core.visualization import canvas
from core.visualization.canvas import FAINT, PAPER

CELL, COLUMNS, GAP, TEXT = 96, 10, 6, 13
MOST_CLASSES, ROWS_WITHOUT_CLASSES = 16, 6
PREVIEW_CELL = 176


def image_sheet(images: PackedImages, title: str, subtitle: str = "", seed: int = 0) -> bytes:
    """Return a PNG with a row of images for each of the first classes, or with some of all images without classes."""
    random = np.random.default_rng(seed)
    rows: list[tuple[str, list[int]]] = []
    if images.class_index is None:
        chosen = sorted(random.permutation(len(images))[: COLUMNS * ROWS_WITHOUT_CLASSES].tolist())
        rows += [("", chosen[at : at + COLUMNS]) for at in range(0, len(chosen), COLUMNS)]
    else:
        index = images.class_index.numpy()
        for number, name in enumerate(images.classes[:MOST_CLASSES]):
            members = np.flatnonzero(index == number)
            shown = sorted(random.permutation(members)[:COLUMNS].tolist())
            rows.append((f"{name}: {len(members):,} images", shown))
        if len(images.classes) > MOST_CLASSES:
            rows.append((f"and {len(images.classes) - MOST_CLASSES} more classes", []))
    drawn = [
        (heading, [canvas.fitted(_pixels(images, at), CELL) for at in positions], [""] * len(positions))
        for heading, positions in rows
    ]
    return _sheet(title, subtitle, drawn, COLUMNS)


def fit_preview(photographs: Sequence[Photograph], height: int, width: int) -> bytes:
    """Return a PNG with a row for each photograph: as it is, and at (height, width) by each rule, side by side."""
    rules: tuple[Fit, ...] = get_args(Fit)
    drawn = []
    for name, pixels in photographs:
        panels = [pixels, *(fitted(pixels, height, width, rule) for rule in rules)]
        captions = [f"as it is, {pixels.shape[1]} x {pixels.shape[0]}", *rules]
        drawn.append((name, [_shown(panel, PREVIEW_CELL) for panel in panels], captions))
    title = f"Photographs at {width} x {height} (width x height) by each rule"
    subtitle = (
        "crop: the largest centred window of the shape. pad: all of the photograph, with grey borders. "
        "stretch: all of it, its shape changed. Labelled images are best brought to the size by the same rule."
    )
    return _sheet(title, subtitle, drawn, 1 + len(rules))


def _shown(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """Return a picture whose longer side has ``side`` pixels; each pixel of a small one is a rectangle."""
    image = Image.fromarray(pixels)
    scale = side / max(image.size)
    return image.resize((max(1, round(scale * image.width)), max(1, round(scale * image.height))), Image.Resampling.BOX)


def _pixels(images: PackedImages, index: int) -> NDArray[np.uint8]:
    pixels = images.read([index])[0].expand(3, -1, -1).permute(1, 2, 0)
    return np.ascontiguousarray(pixels.numpy())


def _sheet(
    title: str, subtitle: str, rows: Sequence[tuple[str, Sequence[Image.Image], Sequence[str]]], columns: int
) -> bytes:
    cells = [panel for _, panels, _ in rows for panel in panels]
    across = max((panel.width for panel in cells), default=CELL) + GAP
    width = max(columns * across, 640)
    lines = canvas.wrapped(subtitle, width, TEXT)
    top = 34 + 19 * len(lines)
    captioned = any(caption for _, _, captions in rows for caption in captions)
    heights = [
        (20 if heading else 0) + max((p.height for p in panels), default=0) + GAP + (18 if captioned else 0)
        for heading, panels, _ in rows
    ]
    sheet = Image.new("RGB", (width + 2 * GAP, top + sum(heights) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    canvas.write(draw, (GAP, 4), canvas.shortened(title, width, 18), 18)
    for number, line in enumerate(lines):
        canvas.write(draw, (GAP, 30 + 19 * number), line, TEXT, FAINT)
    for (heading, panels, captions), height in zip(rows, heights, strict=True):
        at = top
        if heading:
            canvas.write(draw, (GAP, at), canvas.shortened(heading, width, TEXT), TEXT)
            at += 20
        for column, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
            sheet.paste(panel, (GAP + column * across, at))
            if caption:
                below = at + max(p.height for p in panels) + 1
                canvas.write(
                    draw, (GAP + column * across, below), canvas.shortened(caption, across - GAP, 12), 12, FAINT
                )
        top += height
    return canvas.png(sheet)
