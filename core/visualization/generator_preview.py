"""A first look at a generator: the same latents at three truncations."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked
from core.errors import GeneratorError, Problem
from core.generators.stylegan2.network import Network, Noise
from core.image_arrays import to_bytes
from core.visualization.canvas import INK, PAPER, fitted, png, shortened, write

TRUNCATIONS = (0.5, 0.7, 1.0)
_COLUMNS, _CELL, _GAP, _TEXT = 6, 192, 6, 15


@torch.no_grad()
def preview(
    network: Network,
    *,
    title: str,
    noise: Noise = "const",
    class_names: tuple[str, ...] = (),
    seed: int = 0,
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> bytes:
    """A PNG with a row for each of :data:`TRUNCATIONS` and a column for each of six latents.

    The classes of a conditional generator take turns by column. One image is drawn at a time, so that memory does not
    exceed what any use of the generator needs. Raises :class:`GeneratorError` where an image is not finite.
    """
    config = network.config
    device = network.w_avg.device
    z = torch.randn(_COLUMNS, config.z_dim, generator=torch.Generator().manual_seed(seed)).to(device)
    classes = torch.arange(_COLUMNS, device=device) % max(1, config.c_dim)
    c = torch.nn.functional.one_hot(classes, config.c_dim).float() if config.c_dim else None
    rows: list[tuple[str, list[Image.Image]]] = []
    for psi in TRUNCATIONS:
        w_plus = network.map(z, c, truncation_psi=psi)
        row = []
        for column in range(_COLUMNS):
            stop_if_asked(should_stop)
            row.append(_drawn(network, w_plus[column : column + 1], noise))
            progress(len(rows) * _COLUMNS + len(row), len(TRUNCATIONS) * _COLUMNS)
        rows.append((f"truncation {psi:g}", row))
    names = [class_names[index] if class_names else f"class {index}" for index in classes.tolist()]
    return png(_grid(rows, names if config.c_dim else [], title))


def _drawn(network: Network, w_plus: torch.Tensor, noise: Noise) -> Image.Image:
    image = network.synthesize(w_plus, noise=noise).image
    if not image.isfinite().all():
        raise GeneratorError("this generator draws no finite image", [Problem("overflows in float32", "synthesis")])
    pixels: NDArray[np.uint8] = to_bytes(image)[0].permute(1, 2, 0).cpu().numpy()
    pixels = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels[:, :, :3]
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
