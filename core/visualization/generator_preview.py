"""Preview of a generator: the same samples at three settings of its first numeric sampling setting."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.errors import GeneratorError, Problem
from core.generators.interface import Codes, Generator, Sampler
from core.image_arrays import pictures
from core.run import Run
from core.visualization.canvas import INK, PAPER, fitted, png, shortened, write

_COLUMNS, _CELL, _GAP, _TEXT = 6, 192, 6, 15


@torch.no_grad()
def preview(generator: Generator, *, title: str, run: Run | None = None) -> bytes:
    """Return a PNG with a row for each of the generator's preview settings and a column for each of six samples.

    The classes of a conditional generator take turns by column. One image is drawn at a time, so that memory does not
    exceed what any use of the generator needs. Raises :class:`GeneratorError` where an image is not finite.
    """
    run = run or Run()
    count = generator.code.classes
    classes = [column % count for column in range(_COLUMNS)] if count else None
    rows: list[tuple[str, list[Image.Image]]] = []
    for settings in generator.preview_settings:
        prepared = generator.prepare(settings, run)
        sampler = generator.bind(settings, None if prepared is None else prepared.to_bytes())
        codes = sampler.draw(run.seed, range(_COLUMNS), classes)
        row = []
        for column in range(_COLUMNS):
            run.stop_if_asked()
            row.append(_drawn(sampler, codes[column : column + 1]))
            run.progress(len(rows) * _COLUMNS + len(row), len(generator.preview_settings) * _COLUMNS)
        rows.append((", ".join(f"{name} {value:g}" for name, value in settings.items()), row))
    names = generator.info.classes
    labels = [names[index] if names else f"class {index}" for index in classes or ()]
    return png(_grid(rows, labels, title))


def _drawn(sampler: Sampler, code: Codes) -> Image.Image:
    image = sampler.synthesize(code).image
    if not image.isfinite().all():
        raise GeneratorError("this generator draws no finite image", [Problem("overflows in float32", "synthesis")])
    pixels: NDArray[np.uint8] = pictures(image)[0].cpu().numpy()
    return fitted(np.ascontiguousarray(pixels), _CELL)


def _grid(rows: list[tuple[str, list[Image.Image]]], names: list[str], title: str) -> Image.Image:
    width, height = rows[0][1][0].size
    line = _TEXT + 9
    across, below = width + _GAP, height + _GAP + line
    top = 2 * line if names else line
    sheet = Image.new("RGB", (_COLUMNS * across + _GAP, top + len(rows) * below + _GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (_GAP, 4), shortened(title, sheet.width - 2 * _GAP, _TEXT), _TEXT, INK)
    for column, name in enumerate(names):
        write(draw, (_GAP + column * across, line + 2), shortened(name, width, _TEXT), _TEXT)
    for number, (label, images) in enumerate(rows):
        y = top + number * below
        write(draw, (_GAP, y + 2), label, _TEXT)
        for column, image in enumerate(images):
            sheet.paste(image, (_GAP + column * across, y + line))
    return sheet
