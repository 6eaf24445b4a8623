"""The steps of a training iteration against two iterations of the released code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.generators.stylegan2.checkpoints.states import from_nvidia_state
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.discriminator import Discriminator
from core.generators.stylegan2.training.discriminator_files import discriminator_from_state
from core.generators.stylegan2.training.losses import ema_decay
from core.generators.stylegan2.training.players import Latents, Players, Reals

CONFIG = StyleGAN2Config(
    resolution=(16, 16), channels={0: 32, 1: 32, 2: 16}, z_dim=32, w_dim=32, c_dim=4, mapping_layers=2
)
TRAINING = GanConfig(
    batch=4, r1_gamma=2.5, path_length_weight=2.0, ema_kimg=0.01, ema_rampup=None, augmentation="none",
    precision="float32",
)  # fmt: skip


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected.reshape(actual.shape), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "golden" / "stylegan2_training"


@pytest.fixture(scope="module")
def io(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "steps_io.safetensors")


@pytest.fixture(scope="module")
def info(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "info.json").read_text())


def make_players(folder: Path, config: GanConfig = TRAINING) -> Players:
    generator = Network(CONFIG)
    generator.load_state_dict(from_nvidia_state(load_file(folder / "G_state.safetensors"), CONFIG))
    discriminator = discriminator_from_state(load_file(folder / "D_state.safetensors"))
    players = Players(generator, discriminator, config, noise="const")
    players.path_length_mean = torch.tensor(0.4)
    return players


GENERATOR_NAMES = {
    "synthesis.b4.const": "constant",
    "synthesis.b4.conv1.affine.bias": "blocks.0.conv1.affine.bias",
    "synthesis.b8.conv0.weight": "blocks.1.conv0.weight",
    "synthesis.b8.conv0.noise_strength": "blocks.1.conv0.noise_strength",
    "synthesis.b16.conv1.bias": "blocks.2.conv1.bias",
    "synthesis.b16.torgb.weight": "blocks.2.to_rgb.weight",
    "synthesis.b16.torgb.bias": "blocks.2.to_rgb.bias",
    "mapping.embed.weight": "mapping.embed.weight",
    "mapping.fc0.bias": "mapping.layers.0.bias",
    "mapping.fc1.weight": "mapping.layers.1.weight",
    "w_avg": "w_avg",
}
DISCRIMINATOR_NAMES = {
    "b16.conv0.bias": "blocks.2.conv0.bias",
    "b16.fromrgb.weight": "from_rgb.weight",
    "b16.skip.weight": "blocks.2.shortcut.weight",
    "b8.conv1.bias": "blocks.1.conv1.bias",
    "b4.conv.bias": "conv.bias",
    "b4.fc.bias": "dense.bias",
    "b4.out.weight": "out.weight",
    "mapping.embed.weight": "mapping.embed.weight",
    "mapping.fc2.bias": "mapping.layers.2.bias",
}


def test_discriminator_equals_the_released_one(folder: Path, io: dict[str, Tensor]) -> None:
    discriminator = discriminator_from_state(load_file(folder / "D_state.safetensors"))
    assert discriminator.mapping is not None
    close(discriminator.mapping(io["in.real_c"]), io["fwd.D.cmap"])
    close(discriminator.features(io["in.real"]), io["fwd.D.after_fc"])
    close(discriminator.out(io["fwd.D.after_fc"]), io["fwd.D.out_before_projection"])
    close(discriminator(io["in.real"], io["in.real_c"]), io["fwd.D.logits"])
    block = discriminator.blocks["2"](discriminator.from_rgb(io["in.real"]))
    close(block, io["fwd.D.b16"])


def capture(players: Players, adam: str) -> dict[str, Tensor]:
    """Gradients at the moment of the update."""
    optimizer, seen = getattr(players, adam), {}
    step = optimizer.step

    def recording(*args: object) -> None:
        for network in (players.generator, players.discriminator):
            seen.update({id(p): p.grad.clone() for p in network.parameters() if p.grad is not None})
        step()

    optimizer.step = recording
    return seen  # type: ignore[return-value]


def check_optimizers(players: Players, info: dict[str, Any]) -> None:
    for player, adam in (("G", players.generator_adam), ("D", players.discriminator_adam)):
        group = adam.param_groups[0]
        assert group["lr"] == pytest.approx(info[f"{player}_adam"]["lr"])
        assert list(group["betas"]) == pytest.approx(info[f"{player}_adam"]["betas"])


def test_two_iterations_equal_the_released_code(folder: Path, io: dict[str, Tensor], info: dict[str, Any]) -> None:
    players = make_players(folder)
    gradients = {adam: capture(players, adam) for adam in ("generator_adam", "discriminator_adam")}
    check_optimizers(players, info)
    reals = Reals(io["in.real"], io["in.real_c"])

    def latents(index: int, count: int = 4) -> Latents:
        return Latents(io[f"in.z.{index}"][:count], io[f"in.c.{index}"][:count])

    def check(phase: str, generator: bool) -> None:
        network = players.generator if generator else players.discriminator
        seen = gradients["generator_adam" if generator else "discriminator_adam"]
        parameters = dict(network.named_parameters())
        names = GENERATOR_NAMES if generator else DISCRIMINATOR_NAMES
        compared = 0
        for theirs, ours in names.items():
            if f"{phase}.grad.{theirs}" in io:
                close(seen[id(parameters[ours])], io[f"{phase}.grad.{theirs}"])
                close(parameters[ours].detach(), io[f"{phase}.after.{theirs}"])
                compared += 1
        assert compared >= 9
        close(players.generator.w_avg, io[f"{phase}.w_avg"])
        close(players.path_length_mean, io[f"{phase}.pl_mean"])

    def figure(name: str, expected: Tensor) -> None:
        assert float(players.figures[name]) == pytest.approx(float(expected.mean()), abs=1e-4, rel=1e-4)

    phases: list[tuple[str, bool, Callable[[], None], dict[str, str]]] = [
        ("it0.Gmain", True, lambda: players.step_generator(latents(0), 0), {"generator_loss": "Loss/G/loss"}),
        (
            "it0.Greg", True, lambda: players.regularise_generator(latents(1, 2), io["in.pl_noise_unscaled"]),
            {"path_length_penalty": "Loss/pl_penalty"},
        ),
        (
            "it0.Dmain", False, lambda: players.step_discriminator(latents(2), reals, 0),
            {"discriminator_loss": "Loss/D/loss", "real_logit": "Loss/scores/real", "real_sign": "Loss/signs/real"},
        ),
        ("it0.Dreg", False, lambda: players.regularise_discriminator(reals), {"r1_penalty": "Loss/r1_penalty"}),
        ("it1.Gmain", True, lambda: players.step_generator(latents(4), 1), {"generator_loss": "Loss/G/loss"}),
        (
            "it1.Dmain", False, lambda: players.step_discriminator(latents(6), reals, 1),
            {"discriminator_loss": "Loss/D/loss"},
        ),
    ]  # fmt: skip
    for phase, generator, update, figures in phases:
        update()
        check(phase, generator)
        for name, report in figures.items():
            figure(name, io[f"{phase}.report.{report}"])
        if phase in ("it0.Dreg", "it1.Dmain"):
            players.move_mean_weights(0)
            state = players.ema.state_dict()
            for theirs, ours in GENERATOR_NAMES.items():
                close(state[ours], io[f"{phase[:3]}.G_ema.{theirs}"])


def test_decay_of_the_mean_weights_ramps_up_as_in_the_released_code(info: dict[str, Any]) -> None:
    for images, expected in info["ema_beta_rampup_0.05"].items():
        assert any(
            ema_decay(batch, int(images), 500_000, 0.05) == pytest.approx(expected, rel=1e-6, abs=1e-12)
            or ema_decay(batch, int(images), 20_000, 0.05) == pytest.approx(expected, rel=1e-6, abs=1e-12)
            for batch in (4, 8, 16, 32, 64)
        ), images
    assert ema_decay(4, 0, 20_000, None) == pytest.approx(info["it0.ema_beta_kimg20"])
    assert ema_decay(4, 10**9, 10, None) == pytest.approx(info["it0.ema_beta_used_kimg0.01"])


def test_stylegan3_moves_the_mean_code_with_the_discriminator_alone(folder: Path, io: dict[str, Tensor]) -> None:
    expected = load_file(folder / "stylegan3_loss_io.safetensors")
    config = GanConfig(**{**vars(TRAINING), "mean_code_rule": "discriminator", "mean_code_decay": 0.998})
    players = make_players(folder, config)
    players.step_generator(Latents(io["in.z.0"], io["in.c.0"]), 0)
    close(players.generator.w_avg, expected["plain.Gmain.w_avg"])
    assert float(players.figures["generator_loss"]) == pytest.approx(
        float(expected["plain.Gmain.report.Loss/G/loss"].mean()), abs=1e-4
    )
    players = make_players(folder, config)
    players.step_discriminator(Latents(io["in.z.2"], io["in.c.2"]), Reals(io["in.real"], io["in.real_c"]), 0)
    close(players.generator.w_avg, expected["plain.Dmain.w_avg"])


def test_minibatch_statistic_tells_repeated_images(folder: Path) -> None:
    discriminator: Discriminator = discriminator_from_state(load_file(folder / "D_state.safetensors"))
    io = load_file(folder / "steps_io.safetensors")
    image, c = io["in.real"], io["in.real_c"]
    same = discriminator(image[:1].expand(4, -1, -1, -1), c[:1].expand(4, -1))
    assert not torch.allclose(same[0], discriminator(image, c)[0])
