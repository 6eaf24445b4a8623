"""An honest choice of the distance, or an error that says what to provide."""

from pathlib import Path

import pytest

from core.errors import InversionError
from core.inversion.perceptual.choice import choose_perceptual
from core.inversion.perceptual.domain import DomainPerceptual, save_perceptual


def test_choice_falls_back_to_the_domain_trunk(tmp_path: Path, perceptual: DomainPerceptual) -> None:
    save_perceptual(tmp_path, perceptual)
    assert choose_perceptual(tmp_path, None).name == "tiny-domain-v1"
    empty = tmp_path / "weights"
    empty.mkdir()
    assert choose_perceptual(tmp_path, empty).name == "tiny-domain-v1"


def test_choice_prefers_lpips_where_its_weights_are(
    tmp_path: Path, lpips_trunk: Path, perceptual: DomainPerceptual
) -> None:
    save_perceptual(tmp_path, perceptual)
    (tmp_path / "squeezenet1_1.safetensors").write_bytes(lpips_trunk.read_bytes())
    assert choose_perceptual(tmp_path, tmp_path).name == "lpips-squeeze-v0.1"


def test_a_generator_below_32_pixels_uses_its_own_network_though_lpips_weights_are_there(
    tmp_path: Path, lpips_trunk: Path, perceptual: DomainPerceptual
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "squeezenet1_1.safetensors").write_bytes(lpips_trunk.read_bytes())
    with pytest.raises(InversionError, match="LPIPS needs images of 32 pixels or more"):
        choose_perceptual(tmp_path, weights, size=(64, 16))
    save_perceptual(tmp_path, perceptual)
    assert choose_perceptual(tmp_path, weights, size=(64, 16)).name == "tiny-domain-v1"
    assert choose_perceptual(tmp_path, weights, size=(64, 32)).name == "lpips-squeeze-v0.1"


def test_no_distance_at_hand_is_an_error_that_says_what_to_provide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(InversionError) as caught:
        choose_perceptual(tmp_path, tmp_path)
    told = str(caught.value)
    assert "offhand weights pull vgg" in told
    assert "vgg16-397923af.pth" in told
    assert "OFFHAND_WORKER__PERCEPTUAL_WEIGHTS" in told
    assert "perceptual.safetensors" in told
    assert str(tmp_path) not in told, "no path of a folder that is removed after the job"
