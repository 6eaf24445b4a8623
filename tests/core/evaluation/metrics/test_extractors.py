"""Features with a name, and clear words where weights are missing."""

import numpy as np
import pytest
import torch

from core.errors import EvaluationError
from core.evaluation.metrics.extractors import domain_extractor, named_extractor
from core.torchvision_import import import_torchvision


def test_domain_features_are_means_of_the_two_deepest_maps():
    def trunk(images):
        return [images, images[:, :1] * 2, images[:, :2]]

    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    extractor = domain_extractor(trunk, "test")
    found = extractor(images, batch=2)
    mean = images.astype(np.float64).mean((1, 2)) / 127.5 - 1
    assert found == pytest.approx(np.stack([2 * mean[:, 0], mean[:, 0], mean[:, 1]], 1), abs=1e-6)
    assert extractor.name == "domain (test)"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EvaluationError) as caught:
        named_extractor("inception", tmp_path / "pt_inception.pth")
    assert "pt_inception.pth" in str(caught.value)


def test_a_file_that_holds_something_else_is_named(tmp_path):
    import_torchvision()  # timm asks for it by name
    pytest.importorskip("timm", exc_type=ImportError)
    path = tmp_path / "dino.pth"
    torch.save({"nothing": torch.zeros(1)}, path)
    with pytest.raises(EvaluationError) as caught:
        named_extractor("dinov2", path)
    assert "dino.pth" in str(caught.value)
