"""NoisyTwins against golden outputs of the released code."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.generators.stylegan2.checkpoints.states import from_nvidia_state
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training.config import PRESETS
from core.generators.stylegan2.training.discriminator_files import discriminator_from_state
from core.generators.stylegan2.training.losses import path_length_penalty, path_lengths
from core.generators.stylegan2.training.noisy_twins import barlow_loss, class_noise, embedding_noise, standardised

CONFIG = StyleGAN2Config(resolution=(8, 8), channels={0: 16, 1: 16}, z_dim=12, w_dim=12, c_dim=10, mapping_layers=3)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected.reshape(actual.shape), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden" / "noisytwins"


@pytest.fixture(scope="module")
def io(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "io.safetensors")


@pytest.fixture(scope="module")
def info(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "info.json").read_text())


@pytest.fixture
def network(folder: Path) -> Network:
    network = Network(CONFIG)
    network.load_state_dict(from_nvidia_state(load_file(folder / "G_state.safetensors"), CONFIG))
    return network


def test_noise_of_classes_follows_the_effective_number_of_images(io: dict[str, Tensor], info: dict[str, Any]) -> None:
    counts = info["cifar10_lt"]["counts"]
    for beta in (0.0, 0.9, 0.99, 0.999, 0.9999):
        close(class_noise(counts, 1.0, beta), io[f"lambda.beta{beta}"])
    close(class_noise(counts, 0.75, 0.99), torch.tensor(info["noise_std_per_class_sigma0.75_beta0.99"]))
    paper = class_noise(counts, 0.75, 0.99, "paper")
    assert [float(paper[0]), float(paper[-1])] == pytest.approx([0.0075, 0.0190], abs=5e-5)
    assert float(class_noise(counts, 0.75, 0.99, "released")[0] / paper[0]) == pytest.approx(78, rel=0.01)


def class_std(io: dict[str, Tensor], info: dict[str, Any]) -> Tensor:
    return class_noise(info["cifar10_lt"]["counts"], 0.75, 0.99)[io["in.labels"]][:, None]


def test_noise_goes_on_the_embeddings_of_both_players(
    folder: Path, io: dict[str, Tensor], info: dict[str, Any], network: Network
) -> None:
    noise = class_std(io, info) * io["in.noise_G_unit"]
    w = network.mapping(io["in.z"], io["in.c"], noise)
    close(w[:, None].expand(-1, 4, -1).contiguous(), io["ws_noisy"])
    close(network.map(io["in.z"], io["in.c"]).contiguous(), io["ws_eval_mode"])
    close(network.synthesize(w[:, None].expand(-1, 4, -1)).image, io["image"])
    discriminator = discriminator_from_state(load_file(folder / "D_state.safetensors"))
    assert discriminator.mapping is not None
    noise = class_std(io, info) * io["in.noise_D_unit"]
    close(discriminator.mapping(io["in.c"], noise), io["D.cmap_noisy"])
    close(discriminator.features(io["image"]), io["D.features"])
    close(discriminator.out(io["D.features"]), io["D.linear1"])
    close(discriminator(io["image"], io["in.c"], noise), io["D.adv_output"])


def test_twins_loss_equals_the_released_code_in_value_and_gradient(
    io: dict[str, Tensor], info: dict[str, Any], network: Network
) -> None:
    close(standardised(io["barlow.small.w1"]), io["barlow.small.z1"])
    for size in ("small", "wide"):
        for weight, gamma in ((0.01, 0.05), (0.001, 0.005), (1.0, 0.0), (1.0, 1.0)):
            case = f"barlow.{size}.lambda{weight}.gamma{gamma}"
            first, second = (io[f"barlow.{size}.w{number}"].clone().requires_grad_() for number in (1, 2))
            loss = barlow_loss(first, second, weight, gamma)
            close(loss, io[f"{case}.loss"])
            for slope, number in zip(torch.autograd.grad(loss, [first, second]), (1, 2), strict=True):
                close(slope, io[f"{case}.grad_w{number}"])
    w = network.mapping(io["in.z"], io["in.c"], class_std(io, info) * io["in.noise_G_unit"])
    loss = barlow_loss(*w.chunk(2), 0.01, 0.05)
    close(loss, io["twins_from_mapping.loss"])
    loss.backward()
    for name, weight in network.mapping.named_parameters():
        theirs = name.replace("layers.", "fc")
        assert weight.grad is not None
        close(weight.grad, io[f"twins_from_mapping.grad.{theirs}"])


def test_path_length_penalty_of_the_presets_is_that_of_the_released_code(
    io: dict[str, Tensor], info: dict[str, Any], network: Network
) -> None:
    config = PRESETS["inaturalist-lt"]
    noise = class_std(io, info) * io["in.noise_G_unit"]
    w_plus = network.mapping(io["in.z"], io["in.c"], noise)[:, None].expand(-1, 4, -1)
    w_plus = w_plus[: len(io["plr.noise_unscaled"])]
    lengths = path_lengths(network.synthesize(w_plus).image, w_plus, io["plr.noise_unscaled"])
    penalty, mean = path_length_penalty(lengths, torch.tensor(0.4), config.path_length_decay)
    close(mean, io["plr.pl_mean_after"])
    weighted = penalty.detach().mean() * config.path_length_weight * config.path_length_interval
    assert float(weighted) == pytest.approx(float(io["plr.final_after_worker_scaling_w2_interval4"]), rel=1e-4)


def test_noise_of_an_image_is_that_of_its_class() -> None:
    torch.manual_seed(0)
    c = torch.eye(3)[torch.arange(3).repeat(2000)]
    noise = embedding_noise(torch.tensor([0.0, 1.0, 2.0]), c, 8).reshape(2000, 3, 8)
    assert noise.std((0, 2)).tolist() == pytest.approx([0.0, 1.0, 2.0], rel=0.05)


def test_training_states_of_studiogan_give_the_discriminator(folder: Path, io: dict[str, Tensor]) -> None:
    stored = torch.load(folder / "studiogan_checkpoints" / "model=D-current-weights-step=100.pth", weights_only=True)[
        "state_dict"
    ]
    discriminator = discriminator_from_state(stored)
    assert discriminator.config == replace(discriminator_from_state(load_file(folder / "D_state.safetensors")).config)
    assert discriminator(io["image"], io["in.c"]).isfinite().all()
