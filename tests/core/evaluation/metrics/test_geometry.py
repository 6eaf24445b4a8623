"""Geometry of masks on figures whose numbers are known."""

import numpy as np
import pytest

from core.evaluation.metrics.geometry import chamfer, instances, mask_geometry, outline, simplified


def boxes(*corners, size=20):
    mask = np.zeros((size, size), np.uint8)
    for top, left, bottom, right in corners:
        mask[top:bottom, left:right] = 1
    return mask


def test_two_boxes_by_hand():
    found = mask_geometry([boxes((0, 0, 4, 10), (10, 10, 14, 20)), boxes((5, 5, 9, 9))], 1)
    assert found.instances == 1.5
    assert found.mask_image == pytest.approx((40 + 40 + 16) / 3 / 400)
    assert found.box_image == found.mask_image
    assert found.mask_box == 1
    assert found.length == 4  # a box fills its own unit box
    assert found.complexity == 4
    assert found.diversity == 0


def test_an_l_by_hand():
    mask = boxes((0, 0, 10, 5), (5, 0, 10, 10))
    found = mask_geometry([mask], 1)
    assert found.mask_box == 0.75
    assert found.complexity == 6
    assert found.length == 4  # the notch neither adds to nor takes from it
    assert np.isnan(found.diversity)


def test_outline_of_one_pixel_and_of_a_ring():
    assert len(outline(boxes((3, 3, 4, 4)) > 0)) == 4
    ring = boxes((2, 2, 9, 9))
    ring[4:7, 4:7] = 0
    assert len(outline(ring > 0)) == 28


def test_diagonal_neighbours_are_two_instances():
    mask = np.array([[1, 0], [0, 1]], np.uint8)
    assert len(instances(mask > 0)) == 2


def test_instances_of_any_region_are_what_a_flood_reaches():
    random = np.random.default_rng(1)
    for share in (0.3, 0.5, 0.65):
        region = random.random((17, 23)) < share
        parts = instances(region)
        assert np.array_equal(np.sum(parts, axis=0), region.astype(int))
        firsts = [int(part.argmax()) for part in parts]
        assert firsts == sorted(firsts)
        for part in parts:
            flood = np.zeros_like(region)
            flood.flat[part.argmax()] = True
            while True:
                padded = np.pad(flood, 1)
                near = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
                grown = flood | (near & region)
                if np.array_equal(grown, flood):
                    break
                flood = grown
            assert np.array_equal(flood, part)


def test_outlines_like_opencv():
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    random = np.random.default_rng(0)
    blob = cv2.GaussianBlur(random.random((40, 40)), (0, 0), 4)
    mask = (blob > np.median(blob)).astype(np.uint8)
    parts = instances(mask > 0)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    assert len(parts) == count - 1
    assert all(len(np.unique(labels[part])) == 1 and part.sum() == (labels == labels[part][0]).sum() for part in parts)
    largest = max(parts, key=np.sum)
    filled = np.zeros((40, 40), np.uint8)
    contour, _ = cv2.findContours(largest.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(filled, contour, -1, 1, cv2.FILLED)
    points = outline(largest)
    x, y = points.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == filled.sum()  # holes closed, both ways of drawing enclose the same pixels


def test_simplifying_keeps_corners_and_drops_what_lies_between():
    square = np.array([[0, 0], [0.5, 0.005], [1, 0], [1, 1], [0.5, 1], [0, 1], [0, 0.5]])
    assert simplified(square, 0.01).tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_chamfer_by_hand():
    assert chamfer(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])) == pytest.approx((1 + 3) / 2)


@pytest.mark.parametrize("library", ["pycocotools", "faster_coco_eval.core"])
def test_areas_and_boxes_like_the_coco_tools(library):
    coco = pytest.importorskip(f"{library}.mask", exc_type=ImportError)
    random = np.random.default_rng(3)
    mask = np.zeros((20, 30), np.uint8)
    mask[4:15, 6:20] = 1
    mask[4:7, 6:9] = mask[12:15, 15:20] = 0
    mask[random.integers(7, 12, 9), random.integers(9, 15, 9)] = 0  # holes
    mask = max(instances(mask > 0), key=np.sum).astype(np.uint8)
    encoded = coco.encode(np.asfortranarray(mask))
    area, (_, _, width, height) = float(coco.area(encoded)), coco.toBbox(encoded)
    found = mask_geometry([mask], 1)
    assert found.mask_image == pytest.approx(area / 600)
    assert found.box_image == pytest.approx(width * height / 600)
    assert found.mask_box == pytest.approx(area / (width * height))
