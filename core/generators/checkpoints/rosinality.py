"""Checkpoints of rosinality/stylegan2-pytorch: converted ones (with ``latent_avg``) and self-trained ones (without)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from core.errors import CheckpointError, Problem
from core.generators.checkpoints.limits import Limits
from core.generators.checkpoints.source import Answers, Found, check_filters, read_all
from core.generators.checkpoints.states import from_rosinality_state
from core.generators.checkpoints.values import StoredTensor
from core.generators.config import StyleGAN2Config

NETWORKS = ("g_ema", "g")
_LR_MULTIPLIER = 0.01
"""Fixed in that project's code since its first version."""


def looks_like_rosinality(value: Any) -> bool:
    """Whether a file holds what that project writes, or the state of one of its generators alone."""
    return type(value) is dict and (any(name in value for name in NETWORKS) or "input.input" in value)


def read_rosinality(value: dict[str, Any], answers: Answers, limits: Limits) -> Found:
    """The generator in a checkpoint. Raises :class:`CheckpointError`."""
    name, stored = _chosen(value, answers)
    tensors = {key: one for key, one in stored.items() if isinstance(one, StoredTensor)}
    average = value.get("latent_avg")
    if isinstance(average, StoredTensor):
        tensors["latent_avg"] = average
    state = read_all(tensors, limits)
    return found_in(state, name)


def found_in(state: dict[str, Tensor], name: str = "") -> Found:
    """The generator of a state dictionary; ``latent_avg`` may stand beside its tensors."""
    latent_avg = state.pop("latent_avg", None)
    config = config_of(state)
    check_filters(state, ("blur.kernel", "upsample.kernel"), 4.0)
    ours = from_rosinality_state(state, config, latent_avg)
    return Found("rosinality", name, config, ours, has_w_avg=latent_avg is not None)


def config_of(state: Mapping[str, Tensor]) -> StyleGAN2Config:
    """The configuration that the tensors show. Raises :class:`CheckpointError` where they show none."""
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
        mapping_lr_multiplier=_LR_MULTIPLIER,
        image_channels=state["to_rgb1.conv.weight"].shape[1],
    )


def _chosen(value: dict[str, Any], answers: Answers) -> tuple[str, dict[str, Any]]:
    if "input.input" in value:
        return "", value
    networks = {key: one for key, one in value.items() if key in NETWORKS and type(one) is dict}
    wanted = answers.network or next((name for name in NETWORKS if name in networks), None)
    if wanted not in networks:
        there = ", ".join(sorted(map(str, value)))[:200]
        detail = Problem(f"the file holds {there}", "network")
        raise CheckpointError(f"no generator {wanted or 'g_ema'} in this file", [detail])
    return str(wanted), networks[wanted]
