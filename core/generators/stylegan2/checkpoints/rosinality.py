"""Checkpoints of rosinality/stylegan2-pytorch, converted (with ``latent_avg``) or self-trained (without), and of the
projects that build on it: ReStyle, pSp and e4e keep the generator as ``decoder``.
"""

from collections.abc import Mapping
from math import sqrt

import torch
from torch import Tensor

from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.stylegan2.checkpoints.found import Found, check_filters
from core.generators.stylegan2.checkpoints.states import MISSING_NOISE, from_rosinality_state, has_noise_maps
from core.generators.stylegan2.config import StyleGAN2Config

_LR_MULTIPLIER = 0.01
"""The default of ``lr_mlp``, which that project's own training never changes."""
#: Factor between the assumed multiplier and the one that the weights suggest, from which the report warns.
_UNLIKELY = 5.0
#: Largest difference between the rows of a mean code that was repeated for each layer.
_SAME = 1e-6


def read_rosinality_state(state: dict[str, Tensor], name: str, answers: Answers) -> Found:
    """Return the generator of a state dictionary; ``latent_avg`` may stand beside its tensors.

    Raises :class:`CheckpointError`.
    """
    latent_avg = state.pop("latent_avg", None)
    given = answers.mapping_lr_multiplier
    config = config_of(state, given or _LR_MULTIPLIER, answers.conv_clamp or None)
    check_filters(state, ("blur.kernel", "upsample.kernel"), 4.0)
    mean = None if latent_avg is None else _mean_code(latent_avg, config.w_dim)
    notes = (
        []
        if given
        else [
            f"The file does not hold lr_mlp; {_LR_MULTIPLIER} is assumed, which is that project's "
            "default. For another value give answers.mapping_lr_multiplier."
        ]
    )
    notes += _unlikely_multiplier(state, config)
    if not has_noise_maps(state):
        notes.append(MISSING_NOISE)
    if latent_avg is not None and mean is None:
        notes.append("The rows of latent_avg differ from layer to layer, so that none of them is the mean code.")
    ours = from_rosinality_state(state, config, mean)
    return Found("rosinality", name, config, ours, has_w_avg=mean is not None, notes=tuple(notes))


def _mean_code(latent_avg: Tensor, w_dim: int) -> Tensor | None:
    """Return the mean code [w_dim] of ``latent_avg`` [w_dim], [1, w_dim] or, repeated for each layer, [n, w_dim];
    None where the layers' rows differ. Another shape is returned as it is, to be refused by its name.
    """
    if latent_avg.dim() != 2 or latent_avg.shape[1] != w_dim or not len(latent_avg):
        return latent_avg
    rows = latent_avg.float()
    return latent_avg[0] if (rows - rows[0]).abs().max() <= _SAME * rows.abs().max() else None


def _unlikely_multiplier(state: Mapping[str, Tensor], config: StyleGAN2Config) -> list[str]:
    """Return a note where the weights of the mapping network speak against its multiplier: they are drawn with a
    deviation of 1 / lr_mlp, and training changes that little.
    """
    weights = [one for name, one in state.items() if name.startswith("style.") and name.endswith(".weight")]
    count = sum(one.numel() for one in weights)
    deviation = sqrt(float(sum(one.double().square().sum() for one in weights)) / max(count, 1))
    assumed = config.mapping_lr_multiplier
    if not 0 < deviation < torch.inf or 1 / _UNLIKELY < deviation * assumed < _UNLIKELY:
        return []
    return [
        f"The weights of its mapping network have a deviation of {deviation:.2g}, as if they were trained with lr_mlp "
        f"{1 / deviation:.2g} instead of {assumed:g}: compare the preview with images that its project draws."
    ]


def config_of(state: Mapping[str, Tensor], lr_multiplier: float, conv_clamp: float | None) -> StyleGAN2Config:
    """The configuration that the tensors show. Raises :class:`CheckpointError` where they show none.

    ``conv_clamp``: that project clamps nothing; a network converted from one trained with fp16 layers needs 256.
    """
    blocks = 1 + sum(key.startswith("to_rgbs.") and key.endswith(".conv.weight") for key in state)
    wanted = {"input.input": 4, "conv1.conv.weight": 5, "conv1.conv.modulation.weight": 2, "to_rgb1.conv.weight": 5}
    wanted |= {"style.1.weight": 2}
    wanted |= {f"convs.{2 * block - 1}.conv.weight": 5 for block in range(1, blocks)}
    problems = [
        Problem("missing, or of another form", name)
        for name, axes in wanted.items()
        if name not in state or state[name].dim() != axes
    ]
    if problems:
        raise CheckpointError("this is not a StyleGAN2 generator", problems)
    height, width = state["input.input"].shape[2:]
    channels = {0: state["conv1.conv.weight"].shape[1]}
    channels |= {block: state[f"convs.{2 * block - 1}.conv.weight"].shape[1] for block in range(1, blocks)}
    return StyleGAN2Config(
        resolution=(height << (blocks - 1), width << (blocks - 1)),
        const_size=(height, width),
        channels=channels,
        z_dim=state["style.1.weight"].shape[1],
        w_dim=state["conv1.conv.modulation.weight"].shape[1],
        mapping_layers=sum(key.startswith("style.") and key.endswith(".weight") for key in state),
        mapping_lr_multiplier=lr_multiplier,
        conv_clamp=conv_clamp,
        image_channels=state["to_rgb1.conv.weight"].shape[1],
    )
