"""The feature interpreter against BigDatasetGAN's released code: stages, loss, gradients, one step of Adam."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.generators.importing import import_checkpoint
from core.generators.interface import Codes
from core.labeling.interpreter.config import InterpreterConfig
from core.labeling.interpreter.network import Interpreter, feature_groups, interpreter_loss

GOLDEN = Path(__file__).resolve().parents[5] / "shared" / "golden"
NAMES = {"low_feature_conv.0": "reduce.0", "mid_feature_conv.0": "reduce.1", "high_feature_conv.0": "reduce.2"}
NAMES |= {"mid_feature_mix_conv": "mix.0", "high_feature_mix_conv": "mix.1", "out_layer.0": "norm"}
NAMES |= {"out_layer.2": "heads.0", "stored_": "", "u0": "u"}


@pytest.fixture(scope="module")
def io() -> dict[str, Tensor]:
    path = GOLDEN / "biggan_interpreter" / "io.safetensors"
    if not path.exists():
        pytest.skip("golden vectors of the interpreter are not beside this checkout")
    return load_file(path)


def ours(name: str) -> str:
    for theirs, mine in NAMES.items():
        name = name.replace(theirs, mine)
    return name


@pytest.fixture
def read(io: dict[str, Tensor]) -> tuple[Interpreter, tuple[Tensor, ...], Tensor]:
    """The interpreter with the golden weights, and features and class embeddings of the golden codes."""
    generator = import_checkpoint(GOLDEN / "biggan" / "biggan-512.pth").generator
    with torch.no_grad():
        drawn = generator.bind().synthesize(Codes({"z": io["in.z"]}, io["in.y"]), with_features=True)
    assert drawn.condition is not None
    network = Interpreter(generator.layers, 8, 1, InterpreterConfig(heads=1, widths=(6, 4, 2)))
    stored = load_file(GOLDEN / "biggan_interpreter" / "interpreter_state.safetensors")
    state = {ours(name): one[0] if name.endswith("u0") else one for name, one in stored.items() if "sv0" not in name}
    network.load_state_dict(state)
    return network, drawn.features, drawn.condition


def assert_close(found: Tensor, expected: Tensor, name: str) -> None:
    if found.dim() == 4:
        step = found.shape[-1] // expected.shape[-1]
        found = found[..., ::step, ::step]
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * scale, msg=name)


def stages(network: Interpreter, features: Any, condition: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    layers = {
        "low_feature_conv": network.reduce[0], "mid_feature_conv": network.reduce[1],
        "high_feature_conv": network.reduce[2], "mid_feature_mix_conv": network.mix[0],
        "mid_feature_mix_conv.bn1": network.get_submodule("mix.0.bn1"),
        "mid_feature_mix_conv.conv1": network.get_submodule("mix.0.conv1"),
        "high_feature_mix_conv": network.mix[1], "high_feature_mix_conv.bn2": network.get_submodule("mix.1.bn2"),
        "out_layer.0": network.norm, "out_layer": network.heads[0],
    }  # fmt: skip
    handles = [
        layer.register_forward_hook(lambda _module, _inputs, output, name=name: found.update({name: output}))
        for name, layer in layers.items()
    ]
    found["logits"] = network(features, condition)[0]
    for handle in handles:
        handle.remove()
    return found


@torch.no_grad()
def test_groups_and_every_stage_equal_those_of_the_released_code(io: dict[str, Tensor], read: Any) -> None:
    network, features, condition = read
    torch.testing.assert_close(condition, io["class_embedding"])
    for name, one in zip(("low", "mid", "high"), network.eval().grouped(features), strict=True):
        assert_close(one, io[f"grouped.{name}"], name)
        assert_close(one.mean((2, 3)), io[f"grouped.{name}.mean"], name)
    assert [group.size for group in network.groups] == [(32, 32), (128, 128), (512, 512)]
    found = stages(network, features, condition)
    for name, one in found.items():
        assert_close(one, io[f"eval.{name}"], name)
    masks = io["in.mask64"].repeat_interleave(8, 1).repeat_interleave(8, 2).long()
    assert_close(interpreter_loss(found["logits"][None], masks, 255), io["eval.bce"], "bce")
    foreground = (found["logits"].sigmoid() > 0.5).sum((1, 2, 3))
    assert (foreground - io["eval.mask_threshold_0.5_pixels"]).abs().max() <= 2


def test_one_training_step_equals_that_of_the_released_code(io: dict[str, Tensor], read: Any) -> None:
    network, features, condition = read
    masks = io["in.mask64"].repeat_interleave(8, 1).repeat_interleave(8, 2).long()
    optimizer = torch.optim.Adam(network.train().parameters(), lr=1e-3)
    found = stages(network, features, condition)
    for name, one in found.items():
        assert_close(one, io[f"train.{name}"], name)
    loss = interpreter_loss(found["logits"][None], masks, 255)
    assert_close(loss, io["train.loss"], "loss")
    torch.autograd.backward(loss)
    gradients = {name: one for name, one in io.items() if name.startswith("train.grad.")}
    parameters = dict(network.named_parameters())
    assert len(gradients) == len(parameters)
    for name, gradient in gradients.items():
        mine = parameters[ours(name.removeprefix("train.grad."))].grad
        assert mine is not None
        torch.testing.assert_close(mine, gradient, rtol=1e-3, atol=1e-5, msg=name)
    buffers = network.state_dict()
    for name, expected in io.items():
        if name.startswith("train.after_forward_buffer.") and "sv0" not in name:
            mine = buffers[ours(name.removeprefix("train.after_forward_buffer."))]
            torch.testing.assert_close(mine, expected.flatten(), rtol=1e-4, atol=1e-4, msg=name)
    optimizer.step()
    for name, expected in io.items():
        if name.startswith("train.after_step."):
            mine = network.state_dict()[ours(name.removeprefix("train.after_step."))]
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-4, msg=name)
    second = interpreter_loss(network(features, condition), masks, 255)
    assert_close(second, io["train.loss_second_forward"], "second loss")


def test_published_widths_follow_from_biggan_512_and_stylegan2_has_three_groups() -> None:
    from core.generators.interface import FeatureLayer

    shapes = ((1536, 8), (768, 16), (768, 32), (384, 64), (384, 64), (192, 128), (96, 256), (96, 512))
    layers = [FeatureLayer(str(at), channels, side, side) for at, (channels, side) in enumerate(shapes)]
    assert [group.channels for group in feature_groups(layers)] == [3072, 960, 192]
    sides = [FeatureLayer(f"l{side}", 4, side, 2 * side) for side in (4, 8, 16, 32, 64)]
    assert [group.size for group in feature_groups(sides)] == [(4, 8), (16, 32), (64, 128)]
    assert [group.size for group in feature_groups(sides[:2])] == [(4, 8), (8, 16)]
    assert [group.size for group in feature_groups(sides[:1])] == [(4, 8)]
