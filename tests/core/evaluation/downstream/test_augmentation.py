"""Image and target move together; what has a left and a right changes them in a mirror."""

import numpy as np
import pytest
import torch

from core.evaluation.downstream.augmentation import augmented


def batch(count=24):
    """A bright left bar of id 1 and a bright right bar of id 2, on dark ground."""
    masks = torch.zeros(count, 32, 32, dtype=torch.long)
    masks[:, 8:24, 9:13], masks[:, 8:24, 19:23] = 1, 2
    images = torch.where(masks[:, None] > 0, 0.8, -0.8).expand(-1, 3, -1, -1).contiguous()
    return images, masks


@pytest.mark.parametrize("kind", ["basic", "portraits"])
def test_image_and_mask_move_together(kind):
    images, masks = batch()
    moved, labels = augmented(images, masks, kind, torch.Generator().manual_seed(0))
    grey = moved.mean(1)
    assert grey[labels > 0].mean() - grey[labels == 0].mean() > 0.8
    assert moved.min() >= -1
    assert moved.max() <= 1
    assert not torch.equal(labels, masks)


@pytest.mark.parametrize("kind", ["basic", "portraits"])
def test_left_stays_left_in_a_mirror(kind):
    images, masks = batch(48)
    columns = torch.arange(32.0)

    def left_of_right(labels):
        # Of images that still show both bars: is the mean column of 1 left of that of 2?
        found = []
        for one in labels:
            at = [columns.expand(32, -1)[one == index] for index in (1, 2)]
            if all(len(part) for part in at):
                found.append(bool(at[0].mean() < at[1].mean()))
        return np.mean(found)

    generator = torch.Generator().manual_seed(1)
    assert left_of_right(augmented(images, masks, kind, generator, ((1, 2),))[1]) == 1
    generator.manual_seed(1)
    assert left_of_right(augmented(images, masks, kind, generator)[1]) < 1


def test_maps_move_like_masks_and_unknown_stays_unknown():
    images, masks = batch(8)
    maps = torch.stack([masks == 1, masks == 2], 1).float()
    maps[0] = float("nan")
    generator = torch.Generator().manual_seed(2)
    _, moved = augmented(images, maps, "basic", generator, ((0, 1),))
    generator.manual_seed(2)
    _, labels = augmented(images, masks, "basic", generator, ((1, 2),))
    assert moved[0].isnan().all()
    for channel in (0, 1):
        assert moved[1:, channel].isfinite().all()
        assert ((moved[1:, channel] > 0.5) == (labels[1:] == channel + 1)).float().mean() > 0.98


def test_nothing_is_done_when_nothing_is_asked():
    images, masks = batch(2)
    assert augmented(images, masks, "none", torch.Generator())[0] is images
