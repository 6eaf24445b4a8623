"""Checkpoints of every known kind: read, checked against the generator that they were written from, reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.checkpoints.limits import Limits
from core.errors import CheckpointError
from core.generators.answers import Answers
from core.generators.files import load_generator, save_generator
from core.generators.importing import Imported, import_checkpoint
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from tests.core.checkpoints import writers
from tests.core.checkpoints.writers import SMALL, trained

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden"
#: rosinality and stylegan2 of TensorFlow know no clamp.
UNCLAMPED = replace(SMALL, conv_clamp=None)


def golden(*parts: str) -> Any:
    path = GOLDEN.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"golden vectors are not beside this checkout: {path.name}")
    return load_file(path) if path.suffix == ".safetensors" else json.loads(path.read_text())


def written(folder: Path, content: bytes, name: str = "network.pkl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def assert_same(imported: Imported, network: Network) -> None:
    """Same configuration, same numbers, and so the same images."""
    assert imported.generator.network.config == network.config
    ours, theirs = imported.generator.network.state_dict(), network.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        if name != "w_avg" or imported.report.details["w_avg"] == "stored":
            torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-6, msg=name)
    assert not imported.generator.network.training
    assert not any(parameter.requires_grad for parameter in imported.generator.network.parameters())


@pytest.mark.parametrize("case", ["uncond", "cond", "clamp", "resnet", "orig"])
def test_golden_nvidia_states_reproduce_their_images(case: str, tmp_path: Path) -> None:
    kwargs = golden("stylegan2_nvidia", f"{case}.json")["kwargs"]["synthesis_kwargs"]
    architecture, clamp = kwargs.get("architecture", "skip"), kwargs.get("conv_clamp")
    state, io = (
        golden("stylegan2_nvidia", f"{case}_state.safetensors"),
        golden("stylegan2_nvidia", f"{case}_io.safetensors"),
    )
    path = written(tmp_path, writers.nvidia_pickle(state, clamp=clamp, architecture=architecture))
    imported = import_checkpoint(path)
    network, report = imported.generator.network, imported.report
    assert (report.format, report.network, report.details["architecture"]) == ("nvidia-pytorch", "G_ema", architecture)
    assert report.classes == (5 if case == "cond" else 0)
    w_plus = network.map(io["z"], io.get("c"), truncation_psi=0.7)
    torch.testing.assert_close(w_plus, io["ws_psi0.7"], atol=1e-4, rtol=1e-4)
    for noise in ("const", "none"):
        image = network.synthesize(w_plus, noise=noise).image
        torch.testing.assert_close(image, io[f"img_psi0.7_noise-{noise}"], atol=1e-4, rtol=1e-4)


def test_golden_rosinality_state_reproduces_its_images(tmp_path: Path) -> None:
    state, io = golden("stylegan2_rosinality", "state.safetensors"), golden("stylegan2_rosinality", "io.safetensors")
    path = writers.save_rosinality(tmp_path / "g.pt", state, io["truncation_latent"])
    imported = import_checkpoint(path)
    network, report = imported.generator.network, imported.report
    assert (report.format, report.network, report.details["w_avg"]) == ("rosinality", "g_ema", "stored")
    w_plus = network.map(io["z"], truncation_psi=0.7)
    torch.testing.assert_close(w_plus, io["wplus_psi0.7"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network.synthesize(w_plus).image, io["img_psi0.7"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nvidia_in_every_protocol(protocol: int, tmp_path: Path) -> None:
    network = trained()
    content = writers.nvidia_pickle(writers.nvidia_state(network), protocol=protocol)
    imported = import_checkpoint(written(tmp_path, content))
    assert_same(imported, network)
    assert imported.report.facts["fp16 blocks"].startswith("1,")
    assert imported.report.details["w_avg_distance"] is not None
    assert imported.report.details["w_avg_distance"] < 0.05
    assert imported.report.notes == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"c_dim": 3},
        {"architecture": "resnet"},
        {"architecture": "orig"},
        {"mapping_layers": 8, "conv_clamp": None, "mapping_lr_multiplier": 1.0},
        {"resolution": (32, 16), "const_size": (8, 4)},
        {"image_channels": 1},
    ],
)
def test_nvidia_of_every_shape(changes: dict[str, Any], tmp_path: Path) -> None:
    network = trained(replace(SMALL, **changes))
    config = network.config
    content = writers.nvidia_pickle(
        writers.nvidia_state(network),
        clamp=config.conv_clamp,
        lr_multiplier=config.mapping_lr_multiplier,
        architecture=config.architecture,
        alone=True,
    )
    assert_same(import_checkpoint(written(tmp_path, content)), network)


def test_stylegan_human(tmp_path: Path) -> None:
    """Its published size, in thin layers: a constant of 4 x 2, blocks named by their heights, and a flag in each."""
    config = replace(SMALL, resolution=(1024, 512), const_size=(4, 2), channels=dict.fromkeys(range(9), 2))
    network = trained(config)
    content = writers.nvidia_pickle(writers.nvidia_state(network), attributes={"square": False}, protocol=4)
    imported = import_checkpoint(written(tmp_path, content))
    assert_same(imported, network)
    assert imported.report.resolution == (1024, 512)
    assert imported.generator.network.num_ws == 18
    w_plus = imported.generator.network.w_avg.expand(1, 18, -1)
    drawn = imported.generator.network.synthesize(w_plus).image
    assert drawn.shape == (1, 3, 1024, 512)
    assert torch.equal(drawn, network.synthesize(w_plus).image)


def test_nvidia_without_noise(tmp_path: Path) -> None:
    content = writers.nvidia_pickle(writers.nvidia_state(trained()), noise=False)
    imported = import_checkpoint(written(tmp_path, content))
    network, report = imported.generator.network, imported.report
    assert report.details["noise"] == "none"
    w_plus = network.map(torch.randn(1, 5))
    assert torch.equal(network.synthesize(w_plus).image, network.synthesize(w_plus, noise="none").image)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"attributes": {"activation": "relu"}}, "activation 'relu', not 'lrelu'"),
        ({"architecture": "resnet"}, "its tensors show 'skip'"),
    ],
)
def test_nvidia_built_in_an_unusual_way(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    content = writers.nvidia_pickle(writers.nvidia_state(trained()), **change)
    with pytest.raises(CheckpointError, match="unusual") as caught:
        import_checkpoint(written(tmp_path, content))
    assert told in str(caught.value)


def test_another_filter_is_not_imported(tmp_path: Path) -> None:
    state = writers.nvidia_state(trained())
    state["synthesis.b8.resample_filter"] = torch.ones(4, 4) / 16
    with pytest.raises(CheckpointError, match="filter other than") as caught:
        import_checkpoint(written(tmp_path, writers.nvidia_pickle(state)))
    assert [problem.pointer for problem in caught.value.problems] == ["synthesis.b8.resample_filter"]


def test_a_bare_state_asks_for_what_it_does_not_say(tmp_path: Path) -> None:
    network = trained()
    save_file(
        {k: v.clone().contiguous() for k, v in writers.nvidia_state(network).items()}, tmp_path / "state.safetensors"
    )
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(tmp_path / "state.safetensors")
    assert [problem.pointer for problem in caught.value.problems] == ["mapping_lr_multiplier", "conv_clamp"]
    answers = Answers(mapping_lr_multiplier=0.01, conv_clamp=256.0)
    assert_same(import_checkpoint(tmp_path / "state.safetensors", answers), network)


def test_layers_that_lack_a_setting_ask_for_it(tmp_path: Path) -> None:
    network = trained()
    path = written(tmp_path, writers.nvidia_pickle(writers.nvidia_state(network), settings=False))
    with pytest.raises(CheckpointError, match="needs answers") as caught:
        import_checkpoint(path)
    assert [problem.pointer for problem in caught.value.problems] == ["mapping_lr_multiplier", "conv_clamp"]
    assert_same(import_checkpoint(path, Answers(mapping_lr_multiplier=0.01, conv_clamp=256.0)), network)


def test_layers_that_disagree_are_not_imported(tmp_path: Path) -> None:
    content = writers.nvidia_pickle(writers.nvidia_state(trained()), attributes={"conv_clamp": 128})
    with pytest.raises(CheckpointError, match="conv_clamp differs between layers"):
        import_checkpoint(written(tmp_path, content))


def test_an_answer_cannot_contradict_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, writers.nvidia_pickle(writers.nvidia_state(trained())))
    with pytest.raises(CheckpointError, match="contradict") as caught:
        import_checkpoint(path, Answers(conv_clamp=0.0, mapping_lr_multiplier=1.0))
    assert {problem.pointer for problem in caught.value.problems} == {"conv_clamp", "mapping_lr_multiplier"}
    with pytest.raises(CheckpointError, match="no generator g_ema"):
        import_checkpoint(path, Answers(network="g_ema"))
    assert import_checkpoint(path, Answers(network="G")).report.network == "G"


@pytest.mark.parametrize("older", [False, True])
def test_rosinality_converted(older: bool, tmp_path: Path) -> None:
    network = trained(UNCLAMPED)
    path = writers.save_rosinality(tmp_path / "g.pt", writers.rosinality_state(network), network.w_avg, older=older)
    assert_same(import_checkpoint(path), network)


def test_rosinality_self_trained_gets_its_mean_code_measured(tmp_path: Path) -> None:
    network = trained(UNCLAMPED)
    path = writers.save_rosinality(tmp_path / "g.pt", writers.rosinality_state(network))
    imported = import_checkpoint(path)
    assert_same(imported, network)
    assert (imported.report.details["w_avg"], imported.report.details["w_avg_distance"]) == ("measured", None)
    assert "no mean code" in imported.report.notes[0]
    spread = network.mapping(torch.randn(4000, 5), None).std(0)
    assert (imported.generator.network.w_avg - network.w_avg).norm() < 0.1 * spread.norm()


def test_rosinality_of_people(tmp_path: Path) -> None:
    network = trained(replace(UNCLAMPED, resolution=(16, 8), const_size=(4, 2)))
    path = writers.save_rosinality(tmp_path / "g.pt", writers.rosinality_state(network), network.w_avg)
    imported = import_checkpoint(path)
    assert_same(imported, network)
    assert imported.report.resolution == (16, 8)


@pytest.mark.parametrize("changes", [{}, {"c_dim": 3}, {"architecture": "resnet"}, {"architecture": "orig"}])
@pytest.mark.parametrize("protocol", [3, 4])
def test_tensorflow(changes: dict[str, Any], protocol: int, tmp_path: Path) -> None:
    network = trained(replace(UNCLAMPED, **changes))
    imported = import_checkpoint(written(tmp_path, writers.tensorflow_pickle(network, protocol=protocol)))
    assert_same(imported, network)
    assert (imported.report.format, imported.report.network) == ("nvidia-tensorflow", "Gs")


def test_tensorflow_noise_strength_is_read_from_a_numpy_scalar(tmp_path: Path) -> None:
    """A session returns a variable without axes as ``numpy.float32``, and NumPy pickles that as a number."""
    network = trained(UNCLAMPED)
    content = writers.tensorflow_pickle(network)
    assert b"multiarray" in content
    assert b"scalar" in content
    imported = import_checkpoint(written(tmp_path, content))
    strength = imported.generator.network.state_dict()["blocks.1.conv0.noise_strength"]
    assert strength.shape == ()
    torch.testing.assert_close(strength, network.state_dict()["blocks.1.conv0.noise_strength"])
    assert strength != 0


@pytest.mark.parametrize("value", [np.float64(1e300), 10**400, np.float32("nan")], ids=["float64", "int", "nan"])
def test_tensorflow_scalar_beyond_float32_is_refused_by_its_name(value: Any, tmp_path: Path) -> None:
    content = writers.tensorflow_pickle(trained(UNCLAMPED), scalars={"8x8/Conv1/noise_strength": value})
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(written(tmp_path, content))
    assert [problem.pointer for problem in caught.value.problems] == ["synthesis/8x8/Conv1/noise_strength"]


def test_tensorflow_arguments_are_read(tmp_path: Path) -> None:
    network = trained(replace(SMALL, mapping_lr_multiplier=0.1))
    kwargs = {"mapping_lrmul": 0.1, "conv_clamp": 256}
    assert_same(import_checkpoint(written(tmp_path, writers.tensorflow_pickle(network, kwargs=kwargs))), network)
    odd = writers.tensorflow_pickle(network, kwargs={"nonlinearity": "relu", "resample_kernel": [1, 1]})
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(written(tmp_path, odd))
    assert {problem.pointer for problem in caught.value.problems} == {"nonlinearity", "resample_kernel"}


def test_our_own_weights_describe_themselves(tmp_path: Path) -> None:
    network = trained(replace(SMALL, c_dim=2))
    info = GeneratorInfo(name="pair", licence="CC0-1.0", domain="shapes", classes=("disc", "square"))
    save_generator(tmp_path / "made", StyleGAN2Generator(network, info))
    imported = import_checkpoint(tmp_path / "made" / "generator.safetensors")
    assert_same(imported, network)
    assert imported.generator.info.classes == ("disc", "square")
    assert imported.report.facts == {"name": "pair", "licence": "CC0-1.0", "domain": "shapes"}


def test_what_is_imported_can_be_kept(tmp_path: Path) -> None:
    network = trained()
    imported = import_checkpoint(written(tmp_path, writers.nvidia_pickle(writers.nvidia_state(network))))
    save_generator(tmp_path / "kept", imported.generator)
    kept = load_generator(tmp_path / "kept").network
    w_plus = network.map(torch.randn(2, 5), truncation_psi=0.7)
    torch.testing.assert_close(kept.synthesize(w_plus).image, network.synthesize(w_plus).image)


def test_every_wrong_tensor_is_named(tmp_path: Path) -> None:
    state = writers.nvidia_state(trained())
    state["synthesis.b8.conv0.bias"] = torch.full((6,), torch.nan)
    state["synthesis.b16.conv1.affine.weight"] = torch.zeros(4, 9)
    state["mapping.fc9.surprise"] = torch.zeros(1)
    del state["mapping.fc1.bias"]
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(written(tmp_path, writers.nvidia_pickle(state)))
    told = {problem.pointer for problem in caught.value.problems}
    assert told == {
        "synthesis.b8.conv0.bias",
        "synthesis.b16.conv1.affine.weight",
        "mapping.fc9.surprise",
        "mapping.fc1.bias",
    }


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(50), b"<html>not found</html>", bytes(100)])
def test_other_files_are_told_what_is_expected(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="NVIDIA pickle"):
        import_checkpoint(written(tmp_path, content))


def test_other_pickles_and_other_safetensors(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"it holds conv1\.weight"):
        import_checkpoint(tmp_path / "other.pt")
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"begin with conv1\.weight"):
        import_checkpoint(tmp_path / "other.safetensors")


def test_limits_hold(tmp_path: Path) -> None:
    path = written(tmp_path, writers.nvidia_pickle(writers.nvidia_state(trained())))
    for limits in (Limits(file_bytes=100), Limits(operations=50), Limits(tensor_bytes=1000), Limits(pickles=3)):
        with pytest.raises(CheckpointError) as caught:
            import_checkpoint(path, limits=limits)
        assert caught.value.code == "unsafe_checkpoint"


def test_shape_is_read_from_tensors(tmp_path: Path) -> None:
    """Any base and any maximum of channels: nothing but the tensors says how many there are."""
    config = StyleGAN2Config(resolution=(8, 8), channels={0: 3, 1: 11}, z_dim=2, w_dim=2, mapping_layers=1)
    network = trained(config)
    content = writers.nvidia_pickle(writers.nvidia_state(network), clamp=None)
    assert_same(import_checkpoint(written(tmp_path, content)), network)
