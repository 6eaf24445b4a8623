"""The judge learns, repeats itself, and augments image and mask together."""

import numpy as np
import torch

from testbed.segmenter import Recipe, augmented, predict, train_segmenter


def discs(count: int, seed: int):
    """Bright discs on dark ground: images uint8 [N, 32, 32, 3], masks uint8 [N, 32, 32]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    centre = random.uniform(8, 24, (count, 2))
    masks = ((x - centre[:, :1, None]) ** 2 + (y - centre[:, 1:, None]) ** 2 < 36).astype(np.uint8)
    return np.repeat((40 + 170 * masks)[..., None], 3, axis=3).astype(np.uint8), masks


def test_it_learns_discs_and_repeats_itself():
    images, masks = discs(32, 0)
    recipe = Recipe(steps=100, batch=16, width=8)
    first, second = (train_segmenter(images, masks, 2, recipe, seed=3) for _ in range(2))
    fresh, truth = discs(16, 1)
    assert np.mean(predict(first, fresh) == truth) > 0.95
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_image_and_mask_move_together():
    images, masks = discs(16, 2)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    moved, labels = augmented(x, torch.from_numpy(masks).long(), torch.Generator().manual_seed(0))
    inside = moved.mean(1)[labels == 1].mean()
    outside = moved.mean(1)[labels == 0].mean()
    assert inside - outside > 0.8
