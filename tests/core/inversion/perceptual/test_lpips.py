"""LPIPS: parity with the reference, no random weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import InversionError
from core.inversion.perceptual.lpips import lpips_distance


@pytest.mark.parametrize(("a", "b", "expected"), [("in0", "in1", "dist"), ("in0_b", "in1_b", "dist_b_nonsquare")])
def test_lpips_agrees_with_the_reference(a: str, b: str, expected: str, lpips_trunk: Path) -> None:
    golden = load_file(lpips_trunk.with_name("io.safetensors"))
    lpips = lpips_distance("squeeze", lpips_trunk)
    distance = lpips.distance(golden[a], lpips.features(golden[b]))
    torch.testing.assert_close(distance, golden[f"repo_lin_v0.1.{expected}"].flatten(), rtol=0, atol=1e-5)
    assert lpips.name == "lpips-squeeze-v0.1"


def test_lpips_is_frozen_differentiable_and_zero_at_the_target(lpips_trunk: Path) -> None:
    golden = load_file(lpips_trunk.with_name("io.safetensors"))
    lpips = lpips_distance("squeeze", lpips_trunk)
    assert not any(parameter.requires_grad for parameter in lpips.parameters())
    assert not any(parameter.is_meta for parameter in lpips.parameters())
    target = lpips.features(golden["in0"])
    assert lpips.distance(golden["in0"], target).abs().max() == 0
    images = golden["in1"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(lpips.distance(images, target).sum(), images)
    assert gradient.isfinite().all()
    assert gradient.abs().amax((1, 2, 3)).min() > 0


def test_lpips_refuses_images_too_small_for_its_trunk(lpips_trunk: Path) -> None:
    with pytest.raises(InversionError, match="32 pixels"):
        lpips_distance("squeeze", lpips_trunk).features(torch.zeros(1, 3, 16, 64))


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


def test_weights_of_another_network_are_refused(lpips_trunk: Path) -> None:
    with pytest.raises(InversionError, match="does not hold the weights of alex"):
        lpips_distance("alex", lpips_trunk)
