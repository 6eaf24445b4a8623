"""Adaptive augmentation: every transform against golden outputs of the released code, and the rule for p."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.generators.stylegan2.training import ada
from core.generators.stylegan2.training.ada import PIPELINES, AdaptiveStrength, AugmentPipeline, resampled
from core.generators.stylegan2.training.ada_filters import SYM6, octave_filters


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden" / "stylegan2_training"


@pytest.fixture(scope="module")
def io(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "ada_io.safetensors")


@pytest.fixture(scope="module")
def specs(folder: Path) -> dict[str, list[str]]:
    return json.loads((folder / "info.json").read_text())["ada_specs"]


class Draws:
    """Stand-in for torch's random numbers: a percentile for every value, and every gate open."""

    def __init__(self, percentile: float, transforms: list[str]) -> None:
        self.percentile = percentile
        # Values and gates take turns; a fractional or pixel shift draws both axes at once. The second rotation is none.
        order = [name for name in ("xflip", "rotate90", "xint", "scale", "rotate") if name in transforms]
        order += [name for name in ("aniso",) if name in transforms] + ["still"] * ("rotate" in transforms)
        order += [name for name in ("xfrac", *ada.COLOUR) if name in transforms]
        self.uniform_values = [name for name in order if name not in ("scale", "aniso", "xfrac", *self.normal())]
        self.gate_next = False

    @staticmethod
    def normal() -> tuple[str, ...]:
        return ("brightness", "contrast", "saturation")

    def randn(self, *shape: int, device: torch.device) -> Tensor:
        self.gate_next = True
        return torch.full(shape, 2 * self.percentile - 1).erfinv()

    def rand(self, *shape: int, device: torch.device) -> Tensor:
        if self.gate_next or not self.uniform_values:  # the centre of a cutout comes after its gate
            value = 0.0 if self.gate_next else self.percentile
            self.gate_next = False
            return torch.full(shape, value)
        self.gate_next = True
        return torch.full(shape, 0.5 if self.uniform_values.pop(0) == "still" else self.percentile)


def augmented(x: Tensor, transforms: list[str], percentile: float, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    draws = Draws(percentile, transforms)
    if transforms == ["cutout"]:
        draws.gate_next = True
    with monkeypatch.context() as patched:
        patched.setattr(torch, "rand", draws.rand)
        patched.setattr(torch, "randn", draws.randn)
        return AugmentPipeline(tuple(transforms))(x, 1e-9 if "rotate" not in transforms else 0.5)  # type: ignore[arg-type]


def test_filters_equal_the_released_ones(io: dict[str, Tensor]) -> None:
    torch.testing.assert_close(torch.tensor(SYM6), io["Hz_geom"])
    torch.testing.assert_close(octave_filters(), io["Hz_fbank"], atol=1e-6, rtol=1e-5)


def test_each_transform_and_each_pipeline_equals_the_released_code(
    io: dict[str, Tensor], specs: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [key.removeprefix("debug.").rsplit(".pct", 1) for key in io if key.startswith("debug.")]
    assert len(cases) >= 35
    for name, percentile in cases:
        actual = augmented(io["in.x"], specs[name], float(percentile), monkeypatch)
        expected = io[f"debug.{name}.pct{percentile}"]
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")
    grey = augmented(io["in.x_gray"], specs["bgc"][:10], 0.3, monkeypatch)
    torch.testing.assert_close(grey, io["debug_gray.bgc.pct0.3"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "p"), [("bgc", "0.6"), ("bgcf", "1.0")])
def test_random_runs_equal_the_released_code(
    name: str, p: str, io: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"random.{name}.p{p}.draw."
    recorded = [(key.rsplit(".", 1)[1], io[key]) for key in sorted(io) if key.startswith(prefix)]

    def drawn(kind: str, *shape: int, **_: object) -> Tensor:
        of_kind, value = recorded.pop(0)
        assert of_kind == kind
        return value.reshape(shape)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "rand", lambda *shape, **given: drawn("rand", *shape, **given))
        patched.setattr(torch, "randn", lambda *shape, **given: drawn("randn", *shape, **given))
        actual = AugmentPipeline(PIPELINES[name])(io["in.x"], float(p))
    assert not recorded
    torch.testing.assert_close(actual, io[f"random.{name}.p{p}.out"], atol=1e-4, rtol=1e-4)


def test_gradient_equals_the_released_code(
    io: dict[str, Tensor], specs: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = io["in.x"].clone().requires_grad_()
    y = augmented(x, specs["bgc"], 0.62, monkeypatch)
    (slope,) = torch.autograd.grad(y, x, io["grad.upstream"])
    torch.testing.assert_close(slope, io["grad.bgc.pct0.62.dx"], atol=1e-4, rtol=1e-4)


def test_nothing_changes_at_probability_zero(io: dict[str, Tensor]) -> None:
    x = io["in.x"]
    assert torch.equal(AugmentPipeline(PIPELINES["bgcfnc"])(x, 0.0), x)
    torch.testing.assert_close(io["p0.bgc.out"], x, atol=1e-4, rtol=0)
    torch.testing.assert_close(resampled(x, torch.eye(3).expand(2, 3, 3)), x, atol=1e-5, rtol=0)


def test_images_that_are_not_moved_stay_as_they_are() -> None:
    torch.manual_seed(1)
    x = torch.rand(64, 3, 24, 24)
    y = AugmentPipeline(PIPELINES["bg"])(x, 0.1)
    kept = (x == y).flatten(1).all(1).sum()
    assert 10 < kept < 60


def test_augmentation_has_second_derivatives() -> None:
    torch.manual_seed(0)
    x = torch.rand(3, 3, 24, 24, dtype=torch.float64).requires_grad_()

    def pipeline(image: Tensor) -> Tensor:
        torch.manual_seed(7)
        return AugmentPipeline(PIPELINES["bgcfnc"])(image.float(), 0.9).double()

    (slope,) = torch.autograd.grad(pipeline(x).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), x)
    direction = torch.randn_like(x)
    step = 1e-2

    def slope_at(position: Tensor) -> Tensor:
        position = position.detach().requires_grad_()
        return torch.autograd.grad(pipeline(position).pow(3).sum(), position)[0].square().sum()

    measured = (slope_at(x + step * direction) - slope_at(x - step * direction)) / (2 * step)
    assert float((second * direction).sum()) == pytest.approx(float(measured), rel=1e-2)


def test_noise_is_added_and_cutout_blackens() -> None:
    torch.manual_seed(0)
    x = torch.ones(16, 3, 16, 16)
    noisy = AugmentPipeline(("noise",))(x, 1.0)
    assert (noisy != x).flatten(1).any(1).all()
    cut = AugmentPipeline(("cutout",))(x, 1.0)
    assert cut.flatten(1).min() == 0
    assert cut.mean() < 0.95


def test_strength_moves_as_in_the_released_code(folder: Path) -> None:
    facts = json.loads((folder / "ada_p_update.json").read_text())
    strength = AdaptiveStrength(facts["target"], facts["ada_kimg"])
    assert len(facts["steps"]) == 24
    for step in facts["steps"]:
        for signs in step["signs"]:
            strength.report(torch.tensor(signs) * 3)
        mean = strength.update(facts["batch"] * facts["interval"])
        assert mean == pytest.approx(step["mean_sign"], abs=1e-6)
        assert strength.p == pytest.approx(step["p"], abs=1e-5)
