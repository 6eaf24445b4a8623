"""Shapes are painted in their order, ignored ones below, whatever their size."""

import numpy as np
import pytest

from core.formats import painting
from core.formats.painting import Shape, painted


@pytest.mark.parametrize("kept", [0, 1 << 19])
def test_shapes_are_painted_over_each_other(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """``kept``: areas that are drawn again and areas that stay in memory paint the same."""
    monkeypatch.setattr(painting, "_MOST_KEPT", kept)
    random = np.random.default_rng(0)
    areas = [random.random((40, 50)) < share for share in (0.3, 0.2, 0.0, 1.0, 0.1)]
    areas[1][:, :20] = areas[4][30:] = False
    ids = [1, 2, 3, None, 4]
    shapes = [Shape.of(class_id, lambda area=area: area) for class_id, area in zip(ids, areas, strict=True)]
    assert [shape.pixels for shape in shapes] == [int(area.sum()) for area in areas]
    expected = np.full((40, 50), 255)
    for class_id in (1, 2, 4):
        expected[areas[ids.index(class_id)]] = class_id
    mask, throughout = painted(shapes, (40, 50), 0)
    np.testing.assert_array_equal(mask, expected)
    assert not throughout
