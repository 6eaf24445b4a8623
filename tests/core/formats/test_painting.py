"""Shapes are painted in their order, ignored ones below, whatever their size."""

from pathlib import Path

import numpy as np
import pytest

from core.formats import painting
from core.formats.class_guide import Uncovered
from core.formats.painting import Shape, painted
from core.formats.shapes import Patch
from core.formats.translation import Translation
from core.label_sets.reading.images import PictureLimits


def shape(class_id: int | None, area: np.ndarray, tmp_path: Path) -> Shape:
    out = Translation({}, tmp_path, PictureLimits())
    return Shape.of(out, "a.png", class_id, lambda: Patch(area.shape, 0, 0, area, area.size))


@pytest.mark.parametrize(("uncovered", "expected"), [(None, 0), ("ignored", 255), ("background", 0)])
@pytest.mark.parametrize("drawn", [0, 3])
def test_the_class_map_decides_what_no_shape_covers(
    uncovered: Uncovered | None, expected: int, drawn: int, tmp_path: Path
) -> None:
    area = np.zeros((4, 5), bool)
    area[0, :drawn] = True
    shapes = [shape(0, area, tmp_path)]
    mask, _ = painted(shapes, (4, 5), 0, uncovered)
    assert (mask[area] == 0).all()
    assert (mask[~area] == expected).all()


def test_an_image_with_mostly_drawn_background_has_the_rest_ignored_unless_the_class_map_decides(
    tmp_path: Path,
) -> None:
    area = np.zeros((4, 5), bool)
    area[:3] = True
    for uncovered, expected in ((None, 255), ("background", 0)):
        mask, ignored = painted([shape(0, area, tmp_path)], (4, 5), 0, uncovered)
        assert (mask[3:] == expected).all()
        assert ignored == (expected == 255)


@pytest.mark.parametrize("kept", [0, 1 << 19])
def test_shapes_are_painted_over_each_other(monkeypatch: pytest.MonkeyPatch, kept: int, tmp_path: Path) -> None:
    """``kept``: areas that are drawn again and areas that stay in memory paint the same."""
    monkeypatch.setattr(painting, "_MOST_KEPT", kept)
    random = np.random.default_rng(0)
    areas = [random.random((40, 50)) < share for share in (0.3, 0.2, 0.0, 1.0, 0.1)]
    areas[1][:, :20] = areas[4][30:] = False
    ids = [1, 2, 3, None, 4]
    shapes = [shape(class_id, area, tmp_path) for class_id, area in zip(ids, areas, strict=True)]
    assert [shape.pixels for shape in shapes] == [int(area.sum()) for area in areas]
    expected = np.full((40, 50), 255)
    for class_id in (1, 2, 4):
        expected[areas[ids.index(class_id)]] = class_id
    mask, throughout = painted(shapes, (40, 50), 0)
    np.testing.assert_array_equal(mask, expected)
    assert not throughout
