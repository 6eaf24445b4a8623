"""DiffAugment against golden outputs of the released code."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.generators.stylegan2.training.diffaugment import augmented

CASES = {
    "color": ("color",),
    "translation": ("translation",),
    "cutout": ("cutout",),
    "color_translation_cutout": ("color", "translation", "cutout"),
    "size32x32": ("color", "translation", "cutout"),
    "size15x11": ("color", "translation", "cutout"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_policy_equals_the_released_code(name: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io = load_file(shared / "golden" / "stylegan2_training" / "diffaugment_io.safetensors")
    keys = sorted((key for key in io if key.startswith(f"{name}.draw.")), key=lambda key: int(key.split(".")[2]))
    recorded = [(key.split(".")[3], io[key]) for key in keys]

    def drawn(kind: str) -> Tensor:
        of_kind, value = recorded.pop(0)
        assert of_kind == kind
        return value

    with monkeypatch.context() as patched:
        patched.setattr(torch, "rand", lambda *shape, **_: drawn("rand"))
        patched.setattr(torch, "randint", lambda low, high, **_: drawn("randint"))
        actual = augmented(io.get(f"{name}.in.x", io["in.x"]), CASES[name])
    assert not recorded
    torch.testing.assert_close(actual, io[f"{name}.out"], atol=1e-5, rtol=1e-5)


def test_random_draws_stay_in_their_ranges_and_gradients_flow() -> None:
    torch.manual_seed(0)
    x = torch.rand(32, 3, 16, 24).requires_grad_()
    y = augmented(x, ("translation", "cutout"))
    assert set(torch.unique(y[y != 0]).tolist()) <= set(x.flatten().tolist())
    share = (y == 0).float().mean()
    assert 0.15 < share < 0.5
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(slope.unique(), torch.tensor([0.0, 1.0]))
