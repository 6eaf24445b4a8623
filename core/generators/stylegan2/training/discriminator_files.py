"""Discriminators of other projects: to train on from a checkpoint with both players."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from core.checkpoints.content import CheckpointContent
from core.checkpoints.limits import Budget
from core.checkpoints.state_dicts import read_all
from core.checkpoints.values import Record
from core.errors import CheckpointError, Problem
from core.generators.stylegan2.checkpoints.found import check_filters
from core.generators.stylegan2.checkpoints.nvidia import nested_modules, tensors_of
from core.generators.stylegan2.checkpoints.states import IGNORED_ENDINGS, LARGEST
from core.generators.stylegan2.training.discriminator import Discriminator, DiscriminatorConfig

NETWORK = "D"
STDDEV_GROUP = 4
"""Group of the minibatch statistic where a file does not contain it."""


def read_discriminator(content: CheckpointContent) -> Discriminator | None:
    """Return the discriminator of a snapshot of NVlabs/stylegan2-ada-pytorch or stylegan3; None where it has none.

    Nothing in the file is executed. Raises :class:`CheckpointError` for one that is built in another way.
    """
    value = content.value
    record = value.get(NETWORK) if type(value) is dict else None
    if not isinstance(record, Record):
        return None
    budget = Budget(content.limits)
    layers = dict(nested_modules(record, budget))
    state = read_all(dict(tensors_of(layers, budget)), content.limits)
    check_filters(state, (".resample_filter",), 1.0)
    last = f"b{_heights(state)[-1]}." if _heights(state) else "b4."
    multiplier = _setting(layers, "mapping.fc0.", "bias_gain")
    group = _setting(layers, f"{_epilogue(state)}mbstd.", "group_size")
    return discriminator_from_state(
        state,
        stddev_group=STDDEV_GROUP if group is None else int(group),
        conv_clamp=_setting(layers, f"{last}conv0.", "conv_clamp"),
        mapping_lr_multiplier=0.01 if multiplier is None else multiplier,
    )


def discriminator_from_state(
    state: Mapping[str, Tensor],
    stddev_group: int = STDDEV_GROUP,
    conv_clamp: float | None = None,
    mapping_lr_multiplier: float = 0.01,
) -> Discriminator:
    """Build a discriminator from a state dictionary of NVIDIA's projects or of NoisyTwins' fork of StudioGAN.

    Raises :class:`CheckpointError` that names every tensor that is missing, left over, misshapen or not finite.
    """
    state = {name: tensor for name, tensor in state.items() if not name.endswith(IGNORED_ENDINGS)}
    heights, last = _heights(state), _epilogue(state)
    # StudioGAN keeps the last layer outside of the last block.
    out = "linear1" if "linear1.weight" in state else f"{last}out"
    needed = [f"b{height}.conv0.weight" for height in heights] + [f"{last}conv.weight", f"{last}fc.weight"]
    problems = [Problem("missing", name) for name in needed if name not in state]
    if problems or not heights or f"b{heights[-1]}.fromrgb.weight" not in state:
        detail = Problem("no blocks of a discriminator; its tensors begin with " + ", ".join(sorted(state)[:5]))
        raise CheckpointError("this is not a StyleGAN2 discriminator", problems or [detail])
    config = _config(state, heights, last, stddev_group, conv_clamp, mapping_lr_multiplier)
    names = _names(heights, last, out, config)
    network = Discriminator(config)
    network.load_state_dict(_renamed(state, names, network.state_dict()))
    return network


def _config(
    state: Mapping[str, Tensor],
    heights: list[int],
    last: str,
    stddev_group: int,
    conv_clamp: float | None,
    mapping_lr_multiplier: float,
) -> DiscriminatorConfig:
    channels = {0: state[f"{last}conv.weight"].shape[0]}
    channels |= {index: state[f"b{height}.conv0.weight"].shape[1] for index, height in enumerate(heights, 1)}
    const_height = heights[0] // 2
    const_width = state[f"{last}fc.weight"].shape[1] // (channels[0] * const_height)
    size = const_height << len(heights), const_width << len(heights)
    embed = state.get("mapping.embed.weight")
    return DiscriminatorConfig(
        resolution=size,
        channels=channels,
        const_size=(const_height, const_width),
        c_dim=0 if embed is None else embed.shape[1],
        image_channels=state[f"b{heights[-1]}.fromrgb.weight"].shape[1],
        architecture="resnet" if f"b{heights[-1]}.skip.weight" in state else "orig",
        mapping_layers=max(1, sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state)),
        mapping_lr_multiplier=mapping_lr_multiplier,
        stddev_group=stddev_group,
        conv_clamp=conv_clamp,
    )


def _heights(state: Mapping[str, Tensor]) -> list[int]:
    """Heights of the blocks but the last, ascending."""
    blocks = (re.fullmatch(r"b([1-9][0-9]{0,5})\.conv0\.weight", key) for key in state)
    return sorted(int(block[1]) for block in blocks if block)


def _epilogue(state: Mapping[str, Tensor]) -> str:
    heights = _heights(state)
    return f"b{heights[0] // 2}." if heights else "b4."


def _names(heights: list[int], last: str, out: str, config: DiscriminatorConfig) -> dict[str, str]:
    """Our names → theirs."""
    layers = {"from_rgb": f"b{heights[-1]}.fromrgb", "conv": f"{last}conv", "dense": f"{last}fc", "out": out}
    for index, height in enumerate(heights, 1):
        layers |= {f"blocks.{index}.{conv}": f"b{height}.{conv}" for conv in ("conv0", "conv1")}
    if config.c_dim:
        layers |= {"mapping.embed": "mapping.embed"}
        layers |= {f"mapping.layers.{depth}": f"mapping.fc{depth}" for depth in range(config.mapping_layers)}
    names = {f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in layers.items() for part in ("weight", "bias")}
    if config.architecture == "resnet":
        shortcuts = enumerate(heights, 1)
        names |= {f"blocks.{index}.shortcut.weight": f"b{height}.skip.weight" for index, height in shortcuts}
    return names


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    problems = [Problem("left over", name) for name in sorted(state.keys() - set(names.values()))]
    ours = {}
    for name, theirs in names.items():
        tensor = state.get(theirs)
        if tensor is None:
            problems.append(Problem("missing", theirs))
        elif tensor.shape != wanted[name].shape:
            problems.append(Problem(f"expected {list(wanted[name].shape)}, found {list(tensor.shape)}", theirs))
        elif not tensor.is_floating_point() or not bool((tensor.abs() <= LARGEST).all()):
            problems.append(Problem(f"expected floats up to {LARGEST:g}", theirs))
        else:
            ours[name] = tensor.float()
    if problems:
        raise CheckpointError("these weights do not fit a StyleGAN2 discriminator", problems)
    return ours


def _setting(layers: Mapping[str, Record], prefix: str, attribute: str) -> Any:
    value = layers[prefix].state.get(attribute) if prefix in layers else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
