"""Shapes cover the pixels that pycocotools counts for them."""

import numpy as np
import pycocotools.mask
import pytest

from core.formats.shapes import box, ellipse, filled, from_runs, row_runs


def by_pycocotools(polygon: list[float], height: int, width: int) -> np.ndarray:
    return pycocotools.mask.decode(pycocotools.mask.frPyObjects([polygon], height, width))[:, :, 0].astype(bool)


def test_polygon_is_clipped_at_the_image_border() -> None:
    triangle = [-32, 0, 16, 16, -32, 32]
    where = filled([triangle], 32, 32).whole()
    assert where.sum() == 85
    np.testing.assert_array_equal(where, by_pycocotools(triangle, 32, 32))


@pytest.mark.parametrize("seed", range(30))
def test_polygons_that_reach_outside_are_filled_as_pycocotools_fills_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    polygon = random.uniform(-60, 90, 2 * random.integers(3, 9)).tolist()
    np.testing.assert_array_equal(filled([polygon], 24, 40).whole(), by_pycocotools(polygon, 24, 40))


def test_polygons_are_cut_alike_however_far_outside_a_corner_lies() -> None:
    """A line from the image to a corner a million times as far away keeps its direction."""
    for far in (1e3, 1e5, 1e8, 1e13):
        where = filled([[0, 0, far, far, -far, far]], 30, 30).whole()
        rows, columns = np.mgrid[:30, :30]
        assert (where != (columns <= rows)).mean() < 0.04, far


def test_polygon_wholly_outside_covers_nothing() -> None:
    assert not filled([[-9, -9, -5, -9, -5, -5]], 20, 20).whole().any()
    assert not filled([[1e6, 1e6, 2e6, 1e6, 2e6, 2e6]], 20, 20).whole().any()


def test_ellipse_and_turned_box_cover_their_area() -> None:
    rows, columns = np.mgrid[:60, :80] + 0.5
    inside = ((columns - 40) / 20) ** 2 + ((rows - 30) / 10) ** 2 <= 1
    assert (filled([ellipse(40, 30, 20, 10)], 60, 80).whole() != inside).sum() < 15
    assert (filled([ellipse(40, 30, 10, 20, 90)], 60, 80).whole() != inside).sum() < 15
    np.testing.assert_array_equal(filled([box(10, 20, 30, 6)], 60, 80).whole()[20:26, 10:40], True)
    assert filled([box(10, 20, 30, 6)], 60, 80).whole().sum() == 180
    upright = filled([box(20, 10, 8, 30, 90)], 60, 80).whole()
    assert upright.sum() == pytest.approx(240, abs=12)
    assert upright[22:28, 10:38].all(), "turned about its centre"


def test_run_lengths_may_be_written_loosely() -> None:
    assert row_runs([1, 2.0, "1"], 0, 0, (1, 4), (1, 4)).whole().tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_cover_what_pycocotools_wrote(seed: int) -> None:
    random = np.random.default_rng(seed)
    wanted = np.zeros((37, 53), bool)
    if seed:
        wanted[random.integers(30) :, random.integers(50) :] = True
        wanted &= random.random(wanted.shape) < random.choice([0.02, 0.5, 1.0])
    text = pycocotools.mask.encode(np.asfortranarray(wanted, np.uint8))["counts"].decode()
    bounds = np.flatnonzero(np.diff(np.concatenate([[False], wanted.T.ravel()]))).tolist()
    lengths = np.diff([0, *bounds, wanted.size]).tolist()
    for counts in (text, lengths):
        np.testing.assert_array_equal(from_runs(counts, 37, 53).whole(), wanted)


def test_a_small_shape_of_a_large_image_costs_little() -> None:
    lengths = [4_000_000, 3, 36_000_000 - 3]
    for patch in (filled([box(100, 50, 20, 10)], 5000, 8000), from_runs(lengths, 5000, 8000)):
        assert patch.work < 200_000
        assert patch.area.size < 200_000
