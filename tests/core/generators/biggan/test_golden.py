"""Outputs of ajbrock/BigGAN-PyTorch and of Hugging Face's BigGAN-deep, stage by stage, from files in users' layouts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.generators.answers import Answers
from core.generators.biggan.generator import BigGANGenerator, BigGANSampler, truncated_normal
from core.generators.biggan.network import BatchStatistics, Network
from core.generators.biggan.statistics import standing_statistics
from core.generators.importing import Imported, import_checkpoint
from core.generators.interface import Codes
from core.run import Run

GOLDEN = Path(__file__).resolve().parents[5] / "shared" / "golden" / "biggan"
LAUNCH = {"norm_eps": 1e-5, "spectral_eps": 1e-6}


def golden(name: str) -> Any:
    path = GOLDEN / name
    if not path.exists():
        pytest.skip(f"golden vectors are not beside this checkout: {name}")
    return load_file(path) if path.suffix == ".safetensors" else json.loads(path.read_text())


def read(name: str, **answers: Any) -> tuple[BigGANGenerator, Imported]:
    golden("hub_info.json")
    imported = import_checkpoint(GOLDEN / name, Answers(others=answers))
    assert isinstance(imported.generator, BigGANGenerator)
    return imported.generator, imported


def zipped(folder: str, to: Path) -> Path:
    golden("hub_info.json")
    return Path(shutil.make_archive(str(to / folder.replace("/", "-")), "zip", GOLDEN, folder))


def stages(network: Network, z: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Outputs under the names of the golden files."""
    found: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_hook(lambda _module, _inputs, output, name=name: found.update({name: output}))
        for name, layer in (("linear", network.linear), ("output_layer.0_bn", network.output_norm))
    ]
    drawn = network(z, classes)
    for handle in handles:
        handle.remove()
    places = ["blocks.{}.0", "blocks.{}.1"]
    for index in range(len(network.config.blocks)):
        for place in places[: 1 + (index in network.config.attention)]:
            found[place.format(index)] = drawn.features[len([name for name in found if name.startswith("blocks.")])]
    return found | {"image": drawn.image}


def strided(output: Tensor, like: Tensor) -> Tensor:
    """Every so many rows and columns: large maps are stored like this."""
    step = output.shape[-1] // like.shape[-1]
    return output if output.dim() < 4 else output[..., ::step, ::step]


def assert_stages(found: Mapping[str, Tensor], io: Mapping[str, Tensor], prefix: str) -> None:
    compared = 0
    for name, output in found.items():
        scale = max(1.0, float(output.abs().max()))
        if f"{prefix}.{name}" in io:
            expected = io[f"{prefix}.{name}"]
            torch.testing.assert_close(strided(output, expected), expected, rtol=0, atol=1e-4 * scale, msg=name)
            compared += 1
        for kind, value in (("mean", output), ("absmean", output.abs())):
            if f"{prefix}.{name}.{kind}" in io:
                mean = value.mean((2, 3))
                torch.testing.assert_close(mean, io[f"{prefix}.{name}.{kind}"], rtol=0, atol=1e-4 * scale, msg=name)
    given = {name for name in io if name.startswith(f"{prefix}.") and not name.endswith(("mean", "absmean"))}
    assert compared == len([name for name in given if name.removeprefix(f"{prefix}.") in found]) > 0


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "hub128": ("biggan-128.pth", "pt_hub128", {}),
    "hub256": ("biggan-256.pth", "pt_hub256", {}),
    "hub512": ("biggan-512.pth", "pt_hub512", {}),
    "train64_mybn": ("pt_train64_mybn_state.safetensors", "pt_train64_mybn", LAUNCH),
    "plain32": ("pt_plain32_state.safetensors", "pt_plain32", {}),
    "shared64_nohier_attn32": (
        "pt_shared64_nohier_attn32_state.safetensors",
        "pt_shared64_nohier_attn32",
        {"spectral_iterations": 2},
    ),
    "deep128": ("pt_deep128_state.safetensors", "pt_deep128", LAUNCH),
}


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_every_stage_equals_that_of_ajbrock(case: str) -> None:
    file, name, answers = CASES[case]
    info = golden("hub_info.json" if case.startswith("hub") else "pt_info.json")[case]
    io = golden(f"{name}_io.safetensors")
    generator, _ = read(file, **answers)
    config = generator.network.config
    assert (config.side, config.z_dim) == (info["kwargs"]["resolution"], info["effective_dim_z"])
    found = stages(generator.network, io["in.z"], io["in.y"])
    assert_stages(found, io, "eval")
    if "shared_embedding" in io:
        torch.testing.assert_close(generator.network.condition(io["in.y"]), io["shared_embedding"])
    if "eval.image_z_times_0.5" in io:
        half, expected = generator.network(io["in.z"] * 0.5, io["in.y"]).image, io["eval.image_z_times_0.5"]
        torch.testing.assert_close(strided(half, expected), expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_training_mode_uses_the_statistics_of_the_batch_and_moves_the_vectors_on() -> None:
    io = golden("pt_hub128_io.safetensors")
    generator, _ = read("biggan-128.pth")
    before = {name: (norm.mean[0].clone(), norm.var[0].clone()) for name, norm in generator.network.norms()}
    network = generator.network.train()
    found = stages(network, io["train.z"], io["train.y"])
    assert_stages(found, io, "train")
    after = network.state_dict()
    for ours, theirs in {
        "linear.u": "linear.u0",
        "blocks.0.conv1.u": "blocks.0.0.conv1.u0",
        "blocks.0.bn1.gain.u": "blocks.0.0.bn1.gain.u0",
        "attention.3.theta.u": "blocks.3.1.theta.u0",
    }.items():
        torch.testing.assert_close(after[ours], io[f"train.after.{theirs}"][0], rtol=0, atol=1e-5)
    for ours, theirs in (("blocks.0.bn1", "blocks.0.0.bn1"), ("output_norm", "output_layer.0")):
        norm = network.get_submodule(ours)
        assert isinstance(norm, BatchStatistics)
        assert norm.measured is not None
        pixels = len(io["train.z"]) * (16 if ours.startswith("blocks") else 128 * 128)
        mean, var = norm.measured[0], norm.measured[1] * pixels / (pixels - 1)
        for name, old, new in zip(("mean", "var"), before[ours], (mean, var), strict=True):
            moved = 0.9 * old + 0.1 * new
            torch.testing.assert_close(moved, io[f"train.after.{theirs}.stored_{name}"], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_standing_statistics_equal_those_of_ajbrock() -> None:
    io = golden("pt_train64_mybn_io.safetensors")
    generator, _ = read("pt_train64_mybn_state.safetensors", **LAUNCH)
    statistics = standing_statistics(generator.network, zip(io["standing.z"], io["standing.y"], strict=True), Run())
    count = len(io["standing.z"])
    for ours, theirs in {
        "blocks.0.bn1.mean": "blocks.0.0.bn1.bn.stored_mean",
        "blocks.0.bn1.var": "blocks.0.0.bn1.bn.stored_var",
        "blocks.3.bn2.mean": "blocks.3.0.bn2.bn.stored_mean",
        "output_norm.mean": "output_layer.0.bn.stored_mean",
        "output_norm.var": "output_layer.0.bn.stored_var",
    }.items():
        expected = io[f"standing.after.{theirs}"] / count
        torch.testing.assert_close(statistics.tensors[ours][0], expected, rtol=1e-4, atol=1e-4)
    u = io["standing.after.blocks.0.0.conv1.u0"][0]
    torch.testing.assert_close(statistics.tensors["blocks.0.conv1.u"], u, rtol=0, atol=1e-5)
    sampler = generator.bind({"statistics": "standing"}, statistics.to_bytes())
    image = sampler.synthesize(Codes({"z": io["in.z"]}, io["in.y"])).image
    torch.testing.assert_close(strided(image, io["standing.image"]), io["standing.image"], rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_run_of_ajbrock_is_read_with_its_configuration(tmp_path: Path) -> None:
    io = golden("ajbrock_weights/run0_io.safetensors")
    imported = import_checkpoint(zipped("ajbrock_weights/run0", tmp_path))
    assert (imported.report.format, imported.report.network, imported.report.notes) == ("ajbrock", "G_ema", ())
    image = imported.generator.bind().synthesize(Codes({"z": io["in.z"]}, io["in.y"])).image
    torch.testing.assert_close(image, io["G_ema.image"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", ["hf128", "hf512"])
@torch.no_grad()
def test_every_stage_equals_that_of_hugging_face_at_each_truncation(case: str, tmp_path: Path) -> None:
    io, info = golden(f"{case}_io.safetensors"), golden("hf_info.json")[case]
    imported = import_checkpoint(zipped(f"{case}_dir", tmp_path))
    assert imported.report.format == "huggingface"
    generator = imported.generator
    for truncation in info["truncations"]:
        sampler = generator.bind({"truncation": truncation})
        assert isinstance(sampler, BigGANSampler)
        codes = Codes({"z": io["in.z_unit"] * truncation}, io["in.y"])
        full = sampler.synthesize(codes, with_features=True)
        prefix = f"t{truncation}"
        found = {f"layers.{index}": one for index, one in enumerate(full.features)} | {"image": full.image}
        assert_stages(found, io, prefix)
    torch.testing.assert_close(full.condition, io["class_embedding"])


@torch.no_grad()
def test_linear_interpolation_differs_from_the_published_one_between_rows_only(tmp_path: Path) -> None:
    generator = import_checkpoint(zipped("hf128_dir", tmp_path)).generator
    codes = generator.bind().draw(0, [0], [1])
    for truncation, same in ((0.42, True), (0.425, False)):
        one, other = (
            generator.bind({"truncation": truncation, "interpolation": kind}).synthesize(codes).image
            for kind in ("published", "linear")
        )
        assert torch.allclose(one, other) == same


def test_truncated_normal_values_equal_those_of_scipy() -> None:
    expected = golden("hf128_io.safetensors")["truncated_noise_sample.seed0_t0.4"].numpy()
    uniform = np.random.RandomState(0).uniform(size=expected.shape)
    assert np.abs(truncated_normal(uniform).astype(np.float32) * 0.4 - expected).max() < 1e-6
