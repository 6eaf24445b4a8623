"""Polygons that say what the mask says, filled by somebody else's rasteriser."""

from __future__ import annotations

import numpy as np
import pycocotools.mask
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.formats.outlines import outlines


def filled(where: np.ndarray) -> np.ndarray:
    """How many polygons cover each pixel."""
    height, width = where.shape
    total = np.zeros(where.shape, int)
    for polygon in outlines(where):
        lengths = pycocotools.mask.frPyObjects([polygon.astype(float).ravel().tolist()], height, width)
        total += pycocotools.mask.decode(lengths)[:, :, 0]
    return total


@settings(max_examples=150, deadline=None)
@given(st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape)))
def test_any_mask_comes_back(where: np.ndarray) -> None:
    np.testing.assert_array_equal(filled(where), where)


def test_holes_in_holes_and_holes_above_each_other() -> None:
    where = np.ones((13, 13), bool)
    where[2:11, 2:11] = False
    where[4:9, 4:9] = True
    where[6, 6] = False
    where[11, 5] = False
    np.testing.assert_array_equal(filled(where), where)
    assert len(outlines(where)) == 2


def test_a_region_is_one_polygon_with_as_few_corners_as_it_has() -> None:
    where = np.zeros((6, 9), bool)
    where[1:4, 2:7] = True
    (polygon,) = outlines(where)
    assert sorted(map(tuple, polygon.tolist())) == [(2, 1), (2, 4), (7, 1), (7, 4)]


def test_a_thousand_holes_in_a_column() -> None:
    where = np.ones((2051, 3), bool)
    where[1::2, 1] = False
    (polygon,) = outlines(where)
    assert len(polygon) > 4 * 1000


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((4, 5), bool)) == []
