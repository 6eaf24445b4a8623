"""Other projects' StyleGAN2 weights, as plain dictionaries of tensors, under our names.

Nothing is unpickled here: whoever reads a foreign file hands over tensors alone. Both layouts hold the same network;
they differ in names, in added axes of length one, and in where constant gains are applied.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from core.errors import CheckpointError, Problem
from core.generators.config import StyleGAN2Config
from core.generators.stylegan2 import Generator

State = Mapping[str, Tensor]

IGNORED_ENDINGS = ("resample_filter", "blur.kernel", "upsample.kernel")
"""Fixed filters that both projects store and nothing reads: the taps are [1, 3, 3, 1] in every released generator."""


def from_nvidia_state(state: State, config: StyleGAN2Config) -> dict[str, Tensor]:
    """State of NVlabs/stylegan2-ada-pytorch's ``Generator`` → state of ours.

    Raises :class:`CheckpointError` naming every tensor that is missing, left over, of wrong shape or not finite.
    """
    names = {"w_avg": "mapping.w_avg", "constant": f"synthesis.b{config.const_size[0]}.const"}
    if config.c_dim:
        names |= {f"mapping.embed.{part}": f"mapping.embed.{part}" for part in ("weight", "bias")}
    for depth in range(config.mapping_layers):
        names |= {f"mapping.layers.{depth}.{part}": f"mapping.fc{depth}.{part}" for part in ("weight", "bias")}
    for ours, block, layer in _layers(config):
        # Blocks are named by resolution, and a non-square generator by its height.
        prefix = f"synthesis.b{config.block_size(block)[0]}.{layer.replace('_', '')}"
        names |= {f"{ours}.{part}": f"{prefix}.{part}" for part in ("weight", "bias", "affine.weight", "affine.bias")}
        if layer != "to_rgb":
            names |= {f"{ours}.noise": f"{prefix}.noise_const", f"{ours}.noise_strength": f"{prefix}.noise_strength"}
    return _renamed(state, names, config)


def from_rosinality_state(state: State, config: StyleGAN2Config, latent_avg: Tensor | None = None) -> dict[str, Tensor]:
    """State of rosinality/stylegan2-pytorch's ``Generator`` → state of ours.

    latent_avg: float [w_dim] from the top of a converted checkpoint; None leaves ``w_avg`` zero, and it has to be
    measured before anything is truncated. That project scales 3x3 weights by 1 / sqrt(fan in) before it demodulates
    them, which cancels up to the 1e-8 inside the root, so that they are taken as they are. Errors as in
    :func:`from_nvidia_state`.
    """
    names = {"constant": "input.input"}
    for depth in range(config.mapping_layers):
        names |= {f"mapping.layers.{depth}.{part}": f"style.{depth + 1}.{part}" for part in ("weight", "bias")}
    for ours, block, layer in _layers(config):
        if layer == "to_rgb":
            prefix = f"to_rgbs.{block - 1}" if block else "to_rgb1"
            names[f"{ours}.bias"] = f"{prefix}.bias"
        else:
            number = 2 * block - 2 + int(layer[-1]) if block else -1
            prefix = f"convs.{number}" if block else "conv1"
            names[f"{ours}.bias"] = f"{prefix}.activate.bias"
            names[f"{ours}.noise_strength"] = f"{prefix}.noise.weight"
            names[f"{ours}.noise"] = f"noises.noise_{number + 1}"
        names[f"{ours}.weight"] = f"{prefix}.conv.weight"
        names |= {f"{ours}.affine.{part}": f"{prefix}.conv.modulation.{part}" for part in ("weight", "bias")}
    average = torch.zeros(config.w_dim) if latent_avg is None else latent_avg
    return _renamed({**state, "latent_avg": average}, {**names, "w_avg": "latent_avg"}, config)


def _layers(config: StyleGAN2Config) -> Iterator[tuple[str, int, str]]:
    """(our name, block, "conv0" | "conv1" | "to_rgb") of each synthesis layer."""
    for block in config.channels:
        for layer in ("conv0", "conv1", "to_rgb") if block else ("conv1", "to_rgb"):
            yield f"blocks.{block}.{layer}", block, layer


def _renamed(state: State, names: Mapping[str, str], config: StyleGAN2Config) -> dict[str, Tensor]:
    """``names`` maps ours → theirs. Shapes may differ in axes of length one only."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Generator(config).state_dict().items()}
    assert shapes.keys() == names.keys(), shapes.keys() ^ names.keys()
    left_over = sorted(name for name in state.keys() - set(names.values()) if not name.endswith(IGNORED_ENDINGS))
    problems = [Problem("nothing in this generator takes it", name) for name in left_over]
    ours: dict[str, Tensor] = {}
    for name, theirs in names.items():
        tensor = state.get(theirs)
        wanted = shapes[name]
        if tensor is None:
            problems.append(Problem("missing", theirs))
        elif _without_ones(tensor.shape) != _without_ones(wanted):
            problems.append(Problem(f"shape {list(tensor.shape)} where {list(wanted)} is needed", theirs))
        elif not tensor.is_floating_point() or not tensor.isfinite().all():
            problems.append(Problem("holds something else than finite floats", theirs))
        else:
            ours[name] = tensor.reshape(wanted).float()
    if problems:
        raise CheckpointError("these weights do not make the configured generator", problems)
    return ours


def _without_ones(shape: torch.Size) -> list[int]:
    return [length for length in shape if length != 1]
