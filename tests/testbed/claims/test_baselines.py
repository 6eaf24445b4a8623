"""Baselines of the claims: transfer from a trunk pretrained without labels."""

from dataclasses import replace

import numpy as np
import torch

from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages
from core.run import Run
from testbed.claims.baselines import DenoisingImages, pretrain_on, train_baseline

QUICK = DownstreamConfig(steps=5, batch=4, width=4)


def images(count=6):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 16, 16, 3), np.uint8)
    return ArrayImages(pixels, (pixels[..., 0] > 127).astype(np.uint8))


def test_spoilt_images_have_the_clean_ones_as_targets_and_repeat():
    source = images()
    task = DenoisingImages(source)
    pick = np.array([1, 4])
    spoilt, clean = task.take(pick)
    assert np.allclose((clean.transpose(0, 2, 3, 1) + 1) * 127.5, source.images[pick], atol=1e-3)
    assert np.abs(spoilt.astype(float) - source.images[pick]).mean() > 10
    assert np.array_equal(spoilt, task.take(pick)[0])


def test_transfer_starts_from_the_pretrained_trunk_and_head_only_leaves_it_there():
    pretrained = pretrain_on(images(), QUICK, Run())
    assert pretrained.name == "denoising of 6 generated images"
    start = pretrained.network.trunk.state_dict()
    nets = {
        name: train_baseline(name, images(), 2, replace(QUICK, steps=2), run=Run(seed=1), pretrained=pretrained)
        for name in ("from_scratch", "head_only", "fine_tuned")
    }
    key = "0.0.weight"
    distance = {name: float((net.network.trunk.state_dict()[key] - start[key]).norm()) for name, net in nets.items()}
    assert distance["head_only"] == 0
    assert 0 < distance["fine_tuned"] < distance["from_scratch"]
    assert all(torch.isfinite(net.network.head.weight).all() for net in nets.values())
