"""Pooled scores against cases worked out by hand, and against torchmetrics."""

import numpy as np
import pytest
import torch

from core.evaluation.overlap import image_confusions, image_miou, pooled_f1, pooled_iou, pooled_miou
from core.torchvision_import import import_torchvision

TRUTH = np.array([[[0, 0], [1, 1]], [[0, 1], [1, 255]]], np.uint8)
GUESS = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 0]]], np.uint8)


def test_by_hand():
    # Counted pixels: class 0 hits 2, true 3, predicted 3; class 1 hits 3, true 4, predicted 4; class 2 nowhere.
    confusions = image_confusions(TRUTH, GUESS, 3)
    assert pooled_iou(confusions)[:2] == pytest.approx([2 / 4, 3 / 5])
    assert np.isnan(pooled_iou(confusions)[2])
    assert pooled_miou(confusions) == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert pooled_f1(confusions) == pytest.approx((4 / 6 + 6 / 8) / 2)
    assert pooled_f1(confusions, [1]) == pytest.approx(6 / 8)
    assert image_miou(confusions) == pytest.approx([(1 / 2 + 2 / 3) / 2, (1 / 2 + 1 / 2) / 2])


def test_like_torchmetrics():
    import_torchvision()
    from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

    random = np.random.default_rng(0)
    truth = random.integers(0, 5, (6, 16, 16)).astype(np.uint8)
    guess = np.where(random.random(truth.shape) < 0.6, truth, random.integers(0, 5, truth.shape)).astype(np.uint8)
    truth[0, :4] = 255
    confusions = image_confusions(truth, guess, 5)
    predicted, target = torch.from_numpy(guess).long(), torch.from_numpy(truth).long()
    per_class = MulticlassJaccardIndex(5, average=None, ignore_index=255)(predicted, target)
    assert pooled_iou(confusions) == pytest.approx(per_class.numpy(), abs=1e-6)
    f1 = MulticlassF1Score(5, average="macro", ignore_index=255)(predicted, target)
    assert pooled_f1(confusions) == pytest.approx(float(f1), abs=1e-6)


@pytest.mark.parametrize("library", ["pycocotools", "faster_coco_eval.core"])
def test_one_class_like_the_coco_tools(library):
    coco = pytest.importorskip(f"{library}.mask", exc_type=ImportError)
    random = np.random.default_rng(1)
    truth, guess = (random.random((2, 12, 9)) < 0.5).astype(np.uint8)
    encoded = [coco.encode(np.asfortranarray(one)) for one in (truth, guess)]
    expected = coco.iou([encoded[1]], [encoded[0]], [0])[0, 0]
    assert pooled_iou(image_confusions([truth], [guess], 2))[1] == pytest.approx(expected)


def test_numbers_of_images_that_differ_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        image_confusions(TRUTH, GUESS[:1], 3)
