"""Pictures of a training in progress: samples of the same codes, and curves."""

from collections.abc import Mapping, Sequence
from math import ceil, sqrt

from PIL import Image, ImageDraw
from torch import Tensor

from core.image_arrays import as_pictures
from core.visualization.canvas import INK, PAPER, fitted, png, shortened, write
from core.visualization.charts import BLUE, GREY, RED, beside, line_chart

MOST_SAMPLES = 48
_CELL, _GAP, _LINE = 96, 4, 24
_GREEN = (40, 140, 60)
CHARTS: Mapping[str, tuple[tuple[str, str, tuple[int, int, int]], ...]] = {
    "Distance to held-out images": (("frechet", "Fréchet distance", BLUE),),
    "Precision and recall": (("precision", "precision", GREY), ("recall", "recall", BLUE)),
    "Losses": (("generator_loss", "generator", BLUE), ("discriminator_loss", "discriminator", RED)),
    "Logits": (("real_logit", "real", _GREEN), ("fake_logit", "generated", RED)),
    "Augmentation and spread": (("p", "augmentation p", BLUE), ("spread", "least spread of w", _GREEN)),
}
"""Title → lines: the figure of a point, its name, its colour."""


def sample_grid(samples: Tensor, title: str) -> bytes:
    """Return a PNG of samples uint8 [N, C, H, W], the first :data:`MOST_SAMPLES` of them."""
    images = [fitted(one, _CELL) for one in as_pictures(samples[:MOST_SAMPLES]).cpu().numpy()]
    columns = ceil(sqrt(len(images) * 1.5))
    width, height = images[0].size
    across, below = width + _GAP, height + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, ceil(len(images) / columns) * below + _LINE + _GAP), PAPER)
    write(ImageDraw.Draw(sheet), (_GAP, 4), shortened(title, sheet.width - 2 * _GAP, 14), 14, INK)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        sheet.paste(image, (_GAP + column * across, _LINE + row * below))
    return png(sheet)


def curves_picture(curves: Sequence[Mapping[str, float]]) -> bytes:
    """Return a PNG with the charts of a training's points, over thousands of images seen."""
    charts = []
    for title, lines in CHARTS.items():
        drawn = [
            (name, [(point["images"] / 1000, point[figure]) for point in curves if figure in point], colour)
            for figure, name, colour in lines
        ]
        drawn = [line for line in drawn if line[1]]
        if drawn:
            charts.append(line_chart(title, drawn, "thousand images", width=520, height=220))
    rows = [beside(charts[first : first + 2]) for first in range(0, len(charts), 2)]
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height + 12 for row in rows)), PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + 12
    return png(sheet)
