"""The distance of a generator's own domain, and its files."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from core.errors import InversionError
from core.inversion.perceptual.distance import LossWeights
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk, load_perceptual, save_perceptual


def test_domain_distance_is_zero_only_at_the_target_and_scale_free(perceptual: DomainPerceptual) -> None:
    images = torch.rand(3, 3, 16, 24) * 2 - 1
    target = perceptual.features(images)
    assert [tuple(tap.shape) for tap in target] == [(3, 8, 16, 24), (3, 12, 8, 12)]
    assert perceptual.distance(images, target).abs().max() == 0
    distance = perceptual.distance(images.flip(0), target)
    assert (distance[[0, 2]] > 0).all()
    assert distance[1] == 0
    assert (distance <= 4).all()  # at most 2 a tap


def test_domain_distance_has_a_finite_gradient_where_every_feature_is_zero(perceptual: DomainPerceptual) -> None:
    for parameter in perceptual.trunk.parameters():
        parameter.data.fill_(-1.0)
    images = torch.ones(1, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(perceptual.distance(images, perceptual.features(-images.detach())).sum(), images)
    assert gradient.isfinite().all()


def test_default_trunk_is_small() -> None:
    assert sum(parameter.numel() for parameter in PerceptualTrunk().parameters()) < 350_000


def test_domain_perceptual_round_trip(tmp_path: Path, perceptual: DomainPerceptual) -> None:
    save_perceptual(tmp_path, perceptual)
    loaded = load_perceptual(tmp_path)
    assert (loaded.name, loaded.loss_weights) == ("tiny-domain-v1", LossWeights(1.0, 2.0))
    for name, tensor in perceptual.trunk.state_dict().items():
        torch.testing.assert_close(loaded.trunk.state_dict()[name], tensor.half().float(), rtol=0, atol=0)
    about = json.loads((tmp_path / "perceptual.json").read_text())
    assert about["digest"] == hashlib.sha256((tmp_path / "perceptual.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["perceptual.json", "perceptual.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_broken_fallback_names_its_file(
    tmp_path: Path, name: str, content: bytes | None, perceptual: DomainPerceptual
) -> None:
    save_perceptual(tmp_path, perceptual)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InversionError) as caught:
        load_perceptual(tmp_path)
    assert caught.value.problems[0].pointer == name
