"""Memorisation by a generator: copies are found, new images and blurred ones are not called copies."""

import json

import numpy as np
import pytest
import torch

from core.errors import EvaluationError
from core.evaluation.metrics import training_memorization as module
from core.evaluation.metrics.extractors import Extractor, pixel_extractor
from core.evaluation.metrics.training_memorization import training_memorization
from core.generators.stylegan2.training.images import TensorImages
from core.run import Run

PIXELS = pixel_extractor()
RAW = Extractor("pixels", lambda images: images.double().flatten(1))


def pictures(count: int, seed: int) -> torch.Tensor:
    """Smooth random pictures, uint8 [N, 3, 16, 16]."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
    return (128 + 60 * smooth).clamp(0, 255).byte()


TRAINING, HELD_OUT = TensorImages(pictures(300, 0)), TensorImages(pictures(100, 1))


def check(samples: torch.Tensor, **more):
    return training_memorization(PIXELS, TRAINING, HELD_OUT, TensorImages(samples), **more)


def test_new_samples_are_not_memorised() -> None:
    found = check(pictures(150, 2))
    assert not found.memorised
    assert not found.copies
    assert found.distance_ratio == pytest.approx(1, abs=0.1)
    assert found.effect == pytest.approx(0.5, abs=0.1)
    assert found.sentence.startswith("No sign of memorisation")


def test_one_copy_among_new_samples_is_found_with_its_training_image() -> None:
    samples = pictures(150, 2)
    samples[7] = TRAINING.images[42]
    found = check(samples)
    assert found.copies == (7,)
    assert found.memorised
    assert (found.closest[0].image, found.closest[0].training) == (7, 42)
    assert found.closest[0].distance == pytest.approx(0, abs=1e-6)


def test_near_repetition_of_many_training_images_is_found() -> None:
    noise = 35 * torch.randn(150, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    changed = TRAINING.images[:150] + torch.nn.functional.interpolate(noise, (16, 16), mode="bilinear")
    found = check(changed.clamp(0, 255).byte())
    assert found.p_value < 1e-6
    assert found.effect > 0.8
    assert found.memorised


def test_blurred_new_samples_are_nearer_but_not_memorised() -> None:
    blurred = 128 + 0.5 * (pictures(150, 2).float() - 128)
    found = check(blurred.byte())
    assert found.distance_ratio < 0.9
    assert not found.memorised


def test_mirror_image_of_a_training_image_is_found_when_mirrors_are_compared() -> None:
    samples = pictures(150, 2)
    samples[7] = TRAINING.images[42].flip(2)
    assert not check(samples).copies
    found = check(samples, mirrored=True)
    assert found.copies == (7,)
    assert found.closest[0].mirrored
    assert found.closest[0].training == 42


def test_training_images_are_read_in_blocks_to_the_same_result(monkeypatch) -> None:
    samples, points = pictures(20, 2), []
    whole = check(samples)
    monkeypatch.setattr(module, "BLOCK", 64)
    found = check(samples, run=Run(progress=lambda done, total: points.append((done, total))))
    assert found.closest == whole.closest
    assert (found.effect, found.distance_ratio) == (whole.effect, whole.distance_ratio)
    assert points[-1] == (420, 420)
    distances = torch.cdist(samples.double().flatten(1), TRAINING.images.double().flatten(1))
    exact = training_memorization(RAW, TRAINING, HELD_OUT, TensorImages(samples))
    nearest = {one.image: one.training for one in exact.closest}
    assert nearest == {image: int(distances[image].argmin()) for image in nearest}
    relative = distances.min(1).values / distances.sort(1).values[:, 1]
    assert [one.relative for one in exact.closest] == pytest.approx(np.sort(relative)[:12])


def test_result_is_json() -> None:
    text = json.dumps(check(pictures(20, 2)).to_json(), allow_nan=False)
    assert json.loads(text)["space"]["extractor"] == PIXELS.name


def test_empty_sides_are_named() -> None:
    none = TensorImages(torch.zeros(0, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(EvaluationError) as caught:
        training_memorization(PIXELS, none, none, TensorImages(pictures(2, 0)))
    assert [one.pointer for one in caught.value.problems] == ["training", "held-out"]
