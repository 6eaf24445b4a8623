"""Generators as tables of tensors: under any prefix, in any place of a file, with what such files leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import CheckpointError, UnsafeCheckpointError
from core.generators.answers import Answers
from core.generators.importing import import_checkpoint
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from tests.core.checkpoints import writers
from tests.core.checkpoints.writers import SMALL, trained
from tests.core.generators.test_importing import GOLDEN, UNCLAMPED, assert_same, written

ANSWERS = Answers(mapping_lr_multiplier=0.01, conv_clamp=256.0)


@pytest.fixture(scope="module")
def network() -> Network:
    return trained(UNCLAMPED)


@pytest.fixture(scope="module")
def clamped() -> Network:
    return trained(SMALL)


def saved(folder: Path, content: Any, name: str = "g.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def bare_nvidia(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone().contiguous() for name, tensor in writers.nvidia_state(network).items()}


@pytest.mark.parametrize("prefix", ["", "module.", "decoder.", "module.decoder.", "generator.module."])
def test_rosinality_state_is_read_under_any_prefix(prefix: str, network: Network, tmp_path: Path) -> None:
    state = under(prefix, writers.rosinality_state(network))
    assert_same(import_checkpoint(saved(tmp_path, state)), network)
    assert_same(import_checkpoint(saved(tmp_path, {"g_ema": state, "latent_avg": network.w_avg})), network)
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, tmp_path / "g.safetensors")
    assert_same(import_checkpoint(tmp_path / "g.safetensors"), network)


@pytest.mark.parametrize(
    ("place", "prefix", "name"),
    [
        ((), "", ""),
        ((), "module.", ""),
        (("G_ema",), "", "G_ema"),
        (("state_dict",), "", ""),
        (("state_dict",), "G_ema.", "G_ema"),
        (("model", "state_dict"), "module.", "model"),
    ],
)
def test_nvidia_state_in_a_torch_file_is_read(
    place: tuple[str, ...], prefix: str, name: str, clamped: Network, tmp_path: Path
) -> None:
    content: Any = under(prefix, bare_nvidia(clamped))
    for key in reversed(place):
        content = {key: content, "epoch": 3}
    path = saved(tmp_path, content)
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path)
    assert [problem.pointer for problem in caught.value.problems] == ["mapping_lr_multiplier", "conv_clamp"]
    imported = import_checkpoint(path, ANSWERS)
    assert_same(imported, clamped)
    assert (imported.report.format, imported.report.network) == ("nvidia-state", name)


@pytest.mark.parametrize("name", ["restyle_psp_irse50", "restyle_psp_resnet34", "restyle_e4e_irse50"])
def test_golden_restyle_decoder_draws_its_images(name: str) -> None:
    path = GOLDEN / "encoders" / f"{name}.pt"
    if not path.exists():
        pytest.skip(f"golden vectors are not beside this checkout: {path.name}")
    imported, io = import_checkpoint(path), load_file(path.with_name(f"{name}_io.safetensors"))
    assert (imported.report.network, imported.report.resolution) == ("decoder", (16, 16))
    images = imported.generator.network.synthesize(io["loop.latents"]).image
    torch.testing.assert_close(images, io["loop.images"], atol=1e-4, rtol=1e-4)


def test_golden_e4e_decoder_is_read() -> None:
    path = GOLDEN / "encoders" / "e4e_encoder4editing.pt"
    if not path.exists():
        pytest.skip(f"golden vectors are not beside this checkout: {path.name}")
    assert import_checkpoint(path).report.network == "decoder"


@pytest.mark.parametrize("rows", [None, 1, 6])
def test_encoder_file_with_a_mean_code_for_each_layer(rows: int | None, network: Network, tmp_path: Path) -> None:
    """Options of such files hold paths, devices and numpy numbers."""
    average = network.w_avg if rows is None else network.w_avg.repeat(rows, 1)
    options = {"exp_dir": PurePosixPath("a/b"), "device": torch.device("cuda:0"), "size": np.int64(16), "lr": 1e-4}
    state = under("decoder.", writers.rosinality_state(network)) | {"encoder.input_layer.0.weight": torch.zeros(2, 3)}
    path = saved(tmp_path, {"state_dict": state, "opts": options, "latent_avg": average})
    imported = import_checkpoint(path)
    assert_same(imported, network)
    assert (imported.report.network, imported.report.details["w_avg"]) == ("decoder", "stored")


def test_mean_code_whose_layers_differ_is_measured(network: Network, tmp_path: Path) -> None:
    average = torch.randn(6, network.config.w_dim)
    imported = import_checkpoint(writers.save_rosinality(tmp_path / "g.pt", writers.rosinality_state(network), average))
    assert imported.report.details["w_avg"] == "measured"
    assert any("differ from layer to layer" in note for note in imported.report.notes)


def test_mean_code_of_another_width_is_refused_by_name(network: Network, tmp_path: Path) -> None:
    path = writers.save_rosinality(tmp_path / "g.pt", writers.rosinality_state(network), torch.zeros(6, 99))
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path)
    assert [problem.pointer for problem in caught.value.problems] == ["latent_avg"]


def without_noise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: one for name, one in state.items() if not name.startswith("noises.") and "noise_const" not in name}


def test_missing_noise_maps_are_drawn_and_noted(network: Network, clamped: Network, tmp_path: Path) -> None:
    paths = [
        writers.save_rosinality(tmp_path / "g.pt", without_noise(writers.rosinality_state(network)), network.w_avg),
        written(tmp_path, writers.nvidia_pickle(without_noise(writers.nvidia_state(clamped)))),
        written(
            tmp_path,
            writers.tensorflow_pickle(network, without=tuple(f"noise{number}" for number in range(5))),
            "tf.pkl",
        ),
    ]
    for path in paths:
        first, second = import_checkpoint(path), import_checkpoint(path)
        assert any("no noise maps" in note for note in first.report.notes)
        assert first.report.details["noise"] == "const"
        maps = {name: one for name, one in first.generator.network.state_dict().items() if name.endswith(".noise")}
        assert all(torch.equal(one, second.generator.network.state_dict()[name]) for name, one in maps.items())
        values = torch.cat([one.flatten() for one in maps.values()])
        assert 0.9 < values.std() < 1.1
        assert not torch.equal(maps["blocks.1.conv0.noise"], maps["blocks.1.conv1.noise"])


def test_some_missing_noise_maps_are_a_damaged_file(network: Network, tmp_path: Path) -> None:
    state = writers.rosinality_state(network)
    del state["noises.noise_2"]
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(writers.save_rosinality(tmp_path / "g.pt", state))
    assert [problem.pointer for problem in caught.value.problems] == ["noises.noise_2"]


@pytest.mark.parametrize("noise", [True, False])
def test_noise_maps_that_a_small_file_lacks_are_not_made_at_any_size(noise: bool, tmp_path: Path) -> None:
    """12 blocks of one channel are a few kilobytes and draw 8192 x 8192 pixels."""
    with torch.device("meta"):
        large = Network(StyleGAN2Config((8192, 8192), dict.fromkeys(range(12), 1), z_dim=2, w_dim=2))
    small = {name: torch.zeros(one.shape) for name, one in large.state_dict().items() if not name.endswith(".noise")}
    large.state_dict = lambda *_: small  # type: ignore[method-assign, assignment]
    state = writers.nvidia_state(large)
    state = {name: one for name, one in state.items() if noise or "noise" not in name}
    with pytest.raises(CheckpointError, match="noise maps are too large"):
        import_checkpoint(saved(tmp_path, state), ANSWERS)


def test_missing_mean_code_is_measured_in_every_layout(network: Network, clamped: Network, tmp_path: Path) -> None:
    nvidia = {name: one for name, one in writers.nvidia_state(clamped).items() if name != "mapping.w_avg"}
    conditional = trained(replace(SMALL, c_dim=3))
    classes = {name: one for name, one in writers.nvidia_state(conditional).items() if name != "mapping.w_avg"}
    cases = [
        (written(tmp_path, writers.nvidia_pickle(nvidia), "a.pkl"), clamped),
        (written(tmp_path, writers.nvidia_pickle(classes), "b.pkl"), conditional),
        (written(tmp_path, writers.tensorflow_pickle(network, without=("dlatent_avg",)), "c.pkl"), network),
        (saved(tmp_path, nvidia, "d.pt"), clamped),
    ]
    for path, drawn_from in cases:
        imported = import_checkpoint(path, ANSWERS if path.suffix == ".pt" else None)
        assert_same(imported, drawn_from)
        assert (imported.report.details["w_avg"], imported.report.details["w_avg_distance"]) == ("measured", None)
        assert any("no mean code" in note for note in imported.report.notes)
        spread = drawn_from.w_avg.norm()
        assert (imported.generator.network.w_avg - drawn_from.w_avg).norm() < 0.2 * spread


def test_lr_mlp_of_a_rosinality_file_is_assumed_noted_and_answered(tmp_path: Path) -> None:
    usual, other = trained(UNCLAMPED), trained(replace(UNCLAMPED, mapping_lr_multiplier=1.0))
    first = import_checkpoint(writers.save_rosinality(tmp_path / "a.pt", writers.rosinality_state(usual), usual.w_avg))
    assert [note for note in first.report.notes if "lr_mlp" in note] == list(first.report.notes)
    assert "0.01 is assumed" in first.report.notes[0]
    path = writers.save_rosinality(tmp_path / "b.pt", writers.rosinality_state(other), other.w_avg)
    assumed = import_checkpoint(path)
    assert any("as if they were trained with lr_mlp" in note for note in assumed.report.notes)
    answered = import_checkpoint(path, Answers(mapping_lr_multiplier=1.0))
    assert_same(answered, other)
    assert answered.report.notes == ()


@pytest.mark.parametrize(("answer", "clamp"), [(None, None), (0.0, None), (SMALL.conv_clamp, SMALL.conv_clamp)])
def test_conv_clamp_of_a_rosinality_file_is_answered(
    clamped: Network, answer: float | None, clamp: float | None, tmp_path: Path
) -> None:
    path = writers.save_rosinality(tmp_path / "a.pt", writers.rosinality_state(clamped), clamped.w_avg)
    imported = import_checkpoint(path, Answers(conv_clamp=answer))
    assert imported.generator.network.config.conv_clamp == clamp
    if answer:
        assert_same(imported, clamped)


def test_one_of_several_generators_is_asked_for(network: Network, tmp_path: Path) -> None:
    state, other = writers.rosinality_state(network), writers.rosinality_state(trained(UNCLAMPED, seed=1))
    path = saved(tmp_path, {"first": state, "second": other})
    with pytest.raises(CheckpointError, match="needs answers: network") as caught:
        import_checkpoint(path)
    assert "first, second" in caught.value.problems[0].detail
    assert_same(import_checkpoint(path, Answers(network="first")), network)
    averaged = saved(tmp_path, {"state_dict": under("G.", other) | under("G_ema.", state)}, "ema.pt")
    assert_same(import_checkpoint(averaged), network)


def test_table_of_very_many_prefixes_is_refused(tmp_path: Path) -> None:
    """Each prefix is looked for in all names, so that their number has to be bounded."""
    content = {f"{number}.input.input": torch.zeros(1) for number in range(40)}
    with pytest.raises(CheckpointError, match="too many generators"):
        import_checkpoint(saved(tmp_path, content))


def test_paths_in_options_are_text_and_long_ones_are_refused(network: Network, tmp_path: Path) -> None:
    content = {"g_ema": writers.rosinality_state(network), "opts": {"path": PurePosixPath("a" * 5000)}}
    with pytest.raises(UnsafeCheckpointError, match="path"):
        import_checkpoint(saved(tmp_path, content))
