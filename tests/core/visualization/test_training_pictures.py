"""Pictures of a training in progress."""

import io

import torch
from PIL import Image

from core.visualization.training_pictures import MOST_SAMPLES, curves_picture, sample_grid


def test_grid_shows_the_first_samples_in_colour_or_grey() -> None:
    samples = torch.zeros(MOST_SAMPLES + 10, 1, 8, 8, dtype=torch.uint8)
    samples[: MOST_SAMPLES // 2] = 200
    grid = Image.open(io.BytesIO(sample_grid(samples, "spots after 8 images"))).convert("L")
    colours = {value for _, value in grid.getcolors() or ()}
    assert {0, 200} <= colours
    assert Image.open(io.BytesIO(sample_grid(samples[:1].expand(-1, 3, -1, -1), "one"))).format == "PNG"


def test_curves_leave_out_figures_that_no_point_has() -> None:
    points = [{"images": 1000.0 * number, "frechet": 5.0 - number, "recall": 0.1 * number} for number in range(4)]
    few = Image.open(io.BytesIO(curves_picture(points)))
    more = Image.open(io.BytesIO(curves_picture([{**point, "generator_loss": 1.0, "p": 0.1} for point in points])))
    assert more.height > few.height
