"""Perceptual distances: parity with the reference, honest choice, no random weights."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import InversionError
from core.inversion.perceptual import (
    DomainPerceptual,
    LossWeights,
    PerceptualTrunk,
    choose_perceptual,
    load_perceptual,
    lpips_distance,
    save_perceptual,
)

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "lpips"
TRUNK = GOLDEN / "squeezenet1_1_random_backbone.safetensors"
needs_golden = pytest.mark.skipif(not TRUNK.is_file(), reason=f"golden LPIPS vectors are not at {GOLDEN}")


def small_domain_perceptual(name: str = "tiny-domain-v1") -> DomainPerceptual:
    torch.manual_seed(0)
    return DomainPerceptual(name, PerceptualTrunk([[8, 8], [12]]), LossWeights(1.0, 2.0))


@needs_golden
@pytest.mark.parametrize(("a", "b", "expected"), [("in0", "in1", "dist"), ("in0_b", "in1_b", "dist_b_nonsquare")])
def test_lpips_agrees_with_the_reference(a: str, b: str, expected: str) -> None:
    golden = load_file(GOLDEN / "io.safetensors")
    lpips = lpips_distance("squeeze", TRUNK)
    distance = lpips.distance(golden[a], lpips.features(golden[b]))
    torch.testing.assert_close(distance, golden[f"repo_lin_v0.1.{expected}"].flatten(), rtol=0, atol=1e-5)
    assert lpips.name == "lpips-squeeze-v0.1"


@needs_golden
def test_lpips_is_frozen_differentiable_and_zero_at_the_target() -> None:
    golden = load_file(GOLDEN / "io.safetensors")
    lpips = lpips_distance("squeeze", TRUNK)
    assert not any(parameter.requires_grad for parameter in lpips.parameters())
    assert not any(parameter.is_meta for parameter in lpips.parameters())
    target = lpips.features(golden["in0"])
    assert lpips.distance(golden["in0"], target).abs().max() == 0
    images = golden["in1"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(lpips.distance(images, target).sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().amax((1, 2, 3)).min() > 0


@needs_golden
def test_lpips_refuses_images_too_small_for_its_trunk() -> None:
    with pytest.raises(InversionError, match="32 pixels"):
        lpips_distance("squeeze", TRUNK).features(torch.zeros(1, 3, 16, 64))


def test_missing_imagenet_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InversionError) as caught:
        lpips_distance("vgg", tmp_path)
    (problem,) = caught.value.problems
    assert "vgg16-397923af.pth" in problem.detail
    assert problem.pointer == str(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_damaged_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(content)
    with pytest.raises(InversionError) as caught:
        lpips_distance("alex", tmp_path)
    assert caught.value.problems[0].pointer == "alexnet-owt-7be5be79.pth"
    assert "SHA-256" in caught.value.problems[0].detail


@needs_golden
def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(InversionError, match="does not hold the weights of alex"):
        lpips_distance("alex", TRUNK)


def test_domain_distance_is_zero_only_at_the_target_and_scale_free() -> None:
    perceptual = small_domain_perceptual()
    images = torch.rand(3, 3, 16, 24) * 2 - 1
    target = perceptual.features(images)
    assert [tuple(tap.shape) for tap in target] == [(3, 8, 16, 24), (3, 12, 8, 12)]
    assert perceptual.distance(images, target).abs().max() == 0
    distance = perceptual.distance(images.flip(0), target)
    assert (distance[[0, 2]] > 0).all()
    assert distance[1] == 0
    assert (distance <= 4).all()  # at most 2 a tap


def test_domain_distance_has_a_finite_gradient_where_every_feature_is_zero() -> None:
    perceptual = small_domain_perceptual()
    for parameter in perceptual.trunk.parameters():
        parameter.data.fill_(-1.0)
    images = torch.ones(1, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(perceptual.distance(images, perceptual.features(-images.detach())).sum(), images)
    assert gradient.isfinite().all()


def test_default_trunk_is_small() -> None:
    assert sum(parameter.numel() for parameter in PerceptualTrunk().parameters()) < 350_000


def test_domain_perceptual_round_trip(tmp_path: Path) -> None:
    perceptual = small_domain_perceptual()
    save_perceptual(tmp_path, perceptual)
    loaded = load_perceptual(tmp_path)
    assert (loaded.name, loaded.loss_weights) == ("tiny-domain-v1", LossWeights(1.0, 2.0))
    for name, tensor in perceptual.trunk.state_dict().items():
        torch.testing.assert_close(loaded.trunk.state_dict()[name], tensor.half().float(), rtol=0, atol=0)
    about = json.loads((tmp_path / "perceptual.json").read_text())
    assert about["digest"] == hashlib.sha256((tmp_path / "perceptual.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["perceptual.json", "perceptual.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_broken_fallback_names_its_file(tmp_path: Path, name: str, content: bytes | None) -> None:
    save_perceptual(tmp_path, small_domain_perceptual())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InversionError) as caught:
        load_perceptual(tmp_path)
    assert caught.value.problems[0].pointer == name


def test_choice_falls_back_to_the_domain_trunk(tmp_path: Path) -> None:
    save_perceptual(tmp_path, small_domain_perceptual())
    assert choose_perceptual(tmp_path, None).name == "tiny-domain-v1"
    empty = tmp_path / "weights"
    empty.mkdir()
    assert choose_perceptual(tmp_path, empty).name == "tiny-domain-v1"


@needs_golden
def test_choice_prefers_lpips_where_its_weights_are(tmp_path: Path) -> None:
    save_perceptual(tmp_path, small_domain_perceptual())
    (tmp_path / "squeezenet1_1.safetensors").write_bytes(TRUNK.read_bytes())
    assert choose_perceptual(tmp_path, tmp_path).name == "lpips-squeeze-v0.1"


def test_no_distance_at_hand_is_an_error_that_says_what_to_provide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(InversionError) as caught:
        choose_perceptual(tmp_path, tmp_path)
    told = str(caught.value)
    assert "vgg16-397923af.pth" in told
    assert "perceptual.safetensors" in told
