"""The arms that a dataset has to beat."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.evaluation.downstream.baselines import DenoisingImages, Pretrained, pretrain_on, train_baseline
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.downstream.training import predict
from core.evaluation.metrics.vision_transformers import VisionTransformer
from core.run import Run
from core.torchvision_import import import_torchvision

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


def test_frozen_features_are_learnt_upon_and_left_as_they_were(tmp_path):
    import_torchvision()
    pytest.importorskip("timm", exc_type=ImportError)
    weights = tmp_path / "dinov2.pth"
    torch.manual_seed(0)
    published = VisionTransformer("dinov2", None)
    torch.save(published.network.state_dict(), weights)
    trained = train_baseline(
        "frozen_features", images(2), 3, replace(QUICK, steps=1, batch=2), run=Run(),
        pretrained=Pretrained("DINOv2", weights=weights),
    )  # fmt: skip
    assert predict(trained, images(1).images).shape == (1, 3, 16, 16)
    state, after = published.network.state_dict(), trained.network.trunk.network.state_dict()
    assert all(
        torch.equal(state[name], after[name]) for name in ("blocks.0.attn.qkv.weight", "patch_embed.proj.weight")
    )
    # A patch is 14 pixels: what is enlarged to 224 × 448 has 16 × 32 of them.
    with torch.no_grad():
        assert published.patches(torch.rand(1, 3, 16, 32)).shape == (1, 384, 16, 32)
