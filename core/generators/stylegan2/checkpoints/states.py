"""Other projects' StyleGAN2 weights, as plain dictionaries of tensors, under our names.

All layouts hold the same network; they differ in names, in added axes of length one, in where constant gains are
applied, and in the order of axes. Tensors are copied: nothing that is returned refers to the file.
"""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite

import torch
from torch import Tensor

from core.errors import CheckpointError, Problem
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network

State = Mapping[str, Tensor]

MISSING_NOISE = (
    "The file holds no noise maps; they were drawn at random (seed 0). Fine texture differs from images that were made "
    "elsewhere, where such a file gets other random maps."
)
_DRAWN_NOISE = 1 << 27
"""Largest number of values in noise maps that a file does not hold: those of 4096 x 4096 pixels fit."""

LARGEST = 1e8
"""Largest weight that is read. Trained ones stay below 1e4; a product of two layers' squares has to fit float32."""

IGNORED_ENDINGS = ("resample_filter", "blur.kernel", "upsample.kernel")
"""Fixed filters; whoever reads the file checks that they are the usual ones."""


def from_nvidia_state(state: State, config: StyleGAN2Config) -> dict[str, Tensor]:
    """State of NVlabs/stylegan2-ada-pytorch's ``Generator`` → state of ours, float32.

    Layers that were built without noise get a noise of strength zero. Without a mean code ``w_avg`` is zero, and it
    has to be measured before anything is truncated. Raises :class:`CheckpointError` naming every
    tensor that is missing, left over, of wrong shape or not finite.
    """
    names = {"w_avg": "mapping.w_avg", "constant": f"synthesis.b{config.const_size[0]}.const"}
    made = _without_mean_code(state, "mapping.w_avg", config)
    if config.c_dim:
        names |= {f"mapping.embed.{part}": f"mapping.embed.{part}" for part in ("weight", "bias")}
    for depth in range(config.mapping_layers):
        names |= {f"mapping.layers.{depth}.{part}": f"mapping.fc{depth}.{part}" for part in ("weight", "bias")}
    for ours, block, layer in _layers(config):
        # Blocks are named by resolution, and a non-square generator by its height.
        prefix = f"synthesis.b{config.block_size(block)[0]}.{NVIDIA_LAYERS[layer]}"
        if layer == "residual":
            names[f"{ours}.weight"] = f"{prefix}.weight"
            continue
        names |= {f"{ours}.{part}": f"{prefix}.{part}" for part in ("weight", "bias", "affine.weight", "affine.bias")}
        if layer != "to_rgb":
            noise = {f"{ours}.noise": f"{prefix}.noise_const", f"{ours}.noise_strength": f"{prefix}.noise_strength"}
            names |= noise
            if not state.keys() & set(noise.values()):
                made |= {
                    noise[f"{ours}.noise"]: torch.zeros(()).expand(config.block_size(block)),
                    noise[f"{ours}.noise_strength"]: torch.zeros(()),
                }
    return _renamed(state, names, config, made)


NVIDIA_LAYERS = {"conv0": "conv0", "conv1": "conv1", "to_rgb": "torgb", "residual": "skip"}
"""Our layer of a block → NVIDIA's."""


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
    state = {**state, "latent_avg": latent_avg} if latent_avg is not None else state
    made = _without_mean_code(state, "latent_avg", config)
    return _renamed(state, {**names, "w_avg": "latent_avg"}, config, made)


def from_tensorflow_state(state: State, config: StyleGAN2Config) -> dict[str, Tensor]:
    """Variables of NVIDIA's TensorFlow ``Gs`` (components as prefixes ``mapping/`` and ``synthesis/``) → state of ours.

    Convolutions are stored height x width x in x out, those that upsample turned by 180 degrees, linear layers in x
    out, and the biases of styles without their 1. Without a mean code ``w_avg`` is zero. Errors as in
    :func:`from_nvidia_state`.
    """
    names = {"w_avg": "dlatent_avg", "constant": "synthesis/4x4/Const/const"}
    changes: dict[str, Callable[[Tensor], Tensor]] = {}
    linear = {"mapping.embed": "mapping/LabelEmbed"} if config.c_dim else {}
    linear |= {f"mapping.layers.{depth}": f"mapping/Dense{depth}" for depth in range(config.mapping_layers)}
    for ours, theirs in linear.items():
        names |= {f"{ours}.{part}": f"{theirs}/{part}" for part in ("weight", "bias")}
        changes[f"{theirs}/weight"] = _transposed
    for ours, block, layer in _layers(config):
        side = config.block_size(block)[0]
        scope = {"conv0": "Conv0_up", "conv1": "Conv1" if block else "Conv", "to_rgb": "ToRGB", "residual": "Skip"}
        prefix = f"synthesis/{side}x{side}/{scope[layer]}"
        names[f"{ours}.weight"] = f"{prefix}/weight"
        changes[f"{prefix}/weight"] = _turned_convolution if layer in ("conv0", "residual") else _convolution
        if layer == "residual":
            continue
        names |= {f"{ours}.bias": f"{prefix}/bias"}
        names |= {f"{ours}.affine.weight": f"{prefix}/mod_weight", f"{ours}.affine.bias": f"{prefix}/mod_bias"}
        changes |= {f"{prefix}/mod_weight": _transposed, f"{prefix}/mod_bias": _plus_one}
        if layer != "to_rgb":
            number = 2 * block - 1 + int(layer[-1]) if block else 0
            names |= {f"{ours}.noise": f"synthesis/noise{number}", f"{ours}.noise_strength": f"{prefix}/noise_strength"}
    made = _without_mean_code(state, "dlatent_avg", config)
    state = {name: changes.get(name, _same)(tensor) for name, tensor in state.items()}
    return _renamed(state, names, config, made)


def has_noise_maps(state: State) -> bool:
    """Whether a state of another project holds any noise map."""
    return any(name.endswith(".noise_const") or name.startswith(("noises.", "synthesis/noise")) for name in state)


def _without_mean_code(state: State, name: str, config: StyleGAN2Config) -> dict[str, Tensor]:
    return {} if name in state else {name: torch.zeros(config.w_dim)}


def _same(x: Tensor) -> Tensor:
    return x


def _transposed(x: Tensor) -> Tensor:
    return x.t() if x.dim() == 2 else x


def _convolution(x: Tensor) -> Tensor:
    return x.permute(3, 2, 0, 1) if x.dim() == 4 else x


def _turned_convolution(x: Tensor) -> Tensor:
    return _convolution(x.flip(0, 1)) if x.dim() == 4 else x


def _plus_one(x: Tensor) -> Tensor:
    return x + 1


def _layers(config: StyleGAN2Config) -> Iterator[tuple[str, int, str]]:
    """(our name, block, "conv0" | "conv1" | "to_rgb" | "residual") of each synthesis layer."""
    for block in config.channels:
        layers = ["conv0", "conv1"] if block else ["conv1"]
        if block and config.architecture == "resnet":
            layers.append("residual")
        if config.architecture == "skip" or block == config.blocks - 1:
            layers.append("to_rgb")
        for layer in layers:
            yield f"blocks.{block}.{layer}", block, layer


def _renamed(
    state: State, names: Mapping[str, str], config: StyleGAN2Config, made: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """``names`` maps ours → theirs. Shapes may differ in axes of length one only.

    made: under their names, what the file does not hold and does not need to; None where it has to hold everything.
    """
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Network(config).state_dict().items()}
    assert shapes.keys() == names.keys(), shapes.keys() ^ names.keys()
    left_over = sorted(name for name in state.keys() - set(names.values()) if not name.endswith(IGNORED_ENDINGS))
    problems = [Problem("nothing in this generator takes it", name) for name in left_over]
    if made is not None:
        made = {
            **made,
            **_missing_noise({names[name]: shapes[name] for name in shapes if _is_noise(name)}, state, made),
        }
    ours: dict[str, Tensor] = {}
    for name, theirs in names.items():
        tensor = state.get(theirs)
        wanted = shapes[name]
        if made is not None and theirs in made:
            ours[name] = made[theirs]
        elif tensor is None:
            problems.append(Problem("missing", theirs))
        elif _without_ones(tensor.shape) != _without_ones(wanted):
            problems.append(Problem(f"shape {list(tensor.shape)} where {list(wanted)} is needed", theirs))
        elif not tensor.is_floating_point():
            problems.append(Problem(f"holds {tensor.dtype}, not floats", theirs))
        else:
            ours[name] = torch.empty(wanted).copy_(tensor.reshape(wanted))
            problems += _values_problems(ours[name], theirs)
    if problems:
        raise CheckpointError("these weights do not make the configured generator", problems)
    return ours


def _is_noise(name: str) -> bool:
    return name.endswith(".noise")


def _missing_noise(wanted: Mapping[str, torch.Size], state: State, made: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return noise maps drawn with seed 0 where the file holds none of them, and nothing where it holds some.

    wanted: their name → shape of each map. Raises :class:`CheckpointError` where maps that the file does not hold,
    those of ``made`` included, would take more memory than any known generator's.
    """
    absent = {name: shape for name, shape in wanted.items() if name not in state}
    values = sum(shape.numel() for shape in absent.values())
    if values > _DRAWN_NOISE:
        detail = f"{values} values of noise are not in the file; up to {_DRAWN_NOISE} can be drawn"
        raise CheckpointError("this generator's noise maps are too large", [Problem(detail, min(absent))])
    if len(absent) < len(wanted):
        return {}
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=random) for name, shape in absent.items() if name not in made}


def _values_problems(tensor: Tensor, name: str) -> list[Problem]:
    low, high = (float(one) for one in tensor.aminmax())
    if not (isfinite(low) and isfinite(high)):  # the extremes of a tensor that holds NaN are NaN
        return [Problem("holds values that are not finite floats", name)]
    if max(-low, high) > LARGEST:
        detail = f"holds {max(-low, high):.3g}; up to {LARGEST:g} is read, because layers multiply their weights"
        return [Problem(detail, name)]
    return []


def _without_ones(shape: torch.Size) -> list[int]:
    return [length for length in shape if length != 1]
