"""Features of images: order, colour, temporary files, and images that cannot be compared."""

import numpy as np
import pytest
import torch

from core.errors import EvaluationError, Stopped
from core.evaluation.metrics import features
from core.evaluation.metrics.extractors import Extractor
from core.evaluation.metrics.features import extract_features
from core.generators.stylegan2.training.images import TensorImages
from core.run import Run

MEANS = Extractor("means", lambda images: images.double().mean((2, 3)), digest="ab", resize="clean")


def images(count: int, channels: int = 3) -> TensorImages:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, channels, 4, 6), dtype=torch.uint8, generator=random)
    return TensorImages(pixels, torch.arange(count) % 2, ("cat", "dog"))


def test_features_keep_the_order_classes_and_identity_of_their_images() -> None:
    given, seen = images(7), []
    found = extract_features(MEANS, given, Run(progress=lambda done, total: seen.append((done, total))), batch=3)
    assert found.rows == pytest.approx(given.images.double().mean((2, 3)).numpy(), rel=1e-6)
    assert (found.classes, found.class_index.tolist()) == (("cat", "dog"), [0, 1, 0, 1, 0, 1, 0])
    assert found.space.to_json() == {
        "extractor": "means", "digest": "ab", "resize": "clean", "dimensions": 3, "standardized": False
    }  # fmt: skip
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_grey_images_are_seen_in_colour() -> None:
    assert extract_features(MEANS, images(3, channels=1)).rows.shape == (3, 3)


def test_large_features_lie_in_a_temporary_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(features, "IN_MEMORY_BYTES", 10)
    found = extract_features(MEANS, images(7), Run(folder=tmp_path))
    assert isinstance(found.rows, np.memmap)
    assert np.array_equal(found.rows, extract_features(MEANS, images(7)).rows)
    assert not list(tmp_path.iterdir())


def test_no_images_and_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(EvaluationError, match="found 0"):
        extract_features(MEANS, TensorImages(torch.zeros(0, 3, 4, 4, dtype=torch.uint8)))
    broken = Extractor("broken", lambda images: images.double().mean((2, 3)) / 0)
    with pytest.raises(EvaluationError, match="broken are not finite"):
        extract_features(broken, images(3))


def test_extraction_stops_when_asked() -> None:
    with pytest.raises(Stopped):
        extract_features(MEANS, images(3), Run(should_stop=lambda: True))
