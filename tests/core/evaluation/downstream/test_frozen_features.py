"""A small head learns on features of a published backbone, which stays as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import EvaluationError
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.frozen_features import FrozenFeatures
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.downstream.loss import TargetFormat
from core.evaluation.downstream.training import predict, predict_masks
from core.evaluation.metrics.vision_transformers import SelfSupervised, VisionTransformer
from core.run import Run
from core.torchvision_import import import_torchvision

QUICK = DownstreamConfig(steps=30, batch=4, learning_rate=1e-2, augment="none")


def images(count: int) -> ArrayImages:
    """Bright upper or lower halves, 16 × 16."""
    random = np.random.default_rng(0)
    masks = np.zeros((count, 16, 16), np.uint8)
    for mask in masks:
        mask[8 * random.integers(2) :][:8] = 1
    pixels = np.repeat((30 + 190 * masks)[..., None], 3, 3).astype(np.uint8)
    return ArrayImages(pixels, masks)


@pytest.mark.parametrize("name", ["dinov2", "dinov3"])
def test_head_learns_on_frozen_features(name: SelfSupervised, tmp_path: Path) -> None:
    import_torchvision()
    pytest.importorskip("timm", exc_type=ImportError)
    weights = tmp_path / f"{name}.pth"
    torch.manual_seed(0)
    published = VisionTransformer(name, None)
    torch.save(published.network.state_dict(), weights)
    features = FrozenFeatures(name, weights, images(3), QUICK, Run(), views=1, least=64)
    trained = features.train_head(2, QUICK, run=Run(seed=1), target=TargetFormat())
    assert predict(trained, images(1).images).shape == (1, 2, 16, 16)
    assert np.mean(predict_masks(trained, images(3).images) == images(3).targets) > 0.8
    state, after = published.network.state_dict(), trained.network.trunk.network.state_dict()
    assert all(torch.equal(state[key], after[key]) for key in state)


def test_unusable_weights_are_named(tmp_path: Path) -> None:
    import_torchvision()
    pytest.importorskip("timm", exc_type=ImportError)
    (tmp_path / "dinov2.pth").write_bytes(b"nothing")
    with pytest.raises(EvaluationError, match="unusable trunk weights"):
        FrozenFeatures("dinov2", tmp_path / "dinov2.pth", images(2), replace(QUICK, steps=1), Run())
