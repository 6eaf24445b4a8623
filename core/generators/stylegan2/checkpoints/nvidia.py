"""Pickles of NVlabs/stylegan2-ada-pytorch, of stylegan3's stylegan2, and of projects built on them (StyleGAN-Human).

The pickle holds whole modules. Each became a passive :class:`Record` of its attributes; from those the tensors are
gathered under the names of a state dictionary, and every setting that has no tensor of its own is read from the layer
that has it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from core.checkpoints.limits import Budget, Limits, shown
from core.checkpoints.state_dicts import ask, read_all
from core.checkpoints.values import Record, StoredTensor
from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.stylegan2.checkpoints.found import Found, check_filters
from core.generators.stylegan2.checkpoints.other_kinds import refusal, related_kind, unread_kind
from core.generators.stylegan2.checkpoints.states import MISSING_NOISE, from_nvidia_state, has_noise_maps
from core.generators.stylegan2.config import Architecture, StyleGAN2Config

NETWORKS = ("G_ema", "G")
_DEPTH = 20
#: Questions where a file is silent: the option that answers, and what is usual.
MULTIPLIER = ("mapping_lr_multiplier", "NVIDIA's training used 0.01 by default")
CLAMP = ("conv_clamp", "256 for models that were trained with fp16 layers, 0 for none")


def looks_like_nvidia(value: Any) -> bool:
    """Whether a pickle holds what NVIDIA's PyTorch projects write."""
    if type(value) is dict:
        return any(isinstance(value.get(name), Record) for name in NETWORKS)
    return isinstance(value, Record) and "_modules" in value.state


def read_nvidia(value: Any, answers: Answers, limits: Limits) -> Found:
    """The generator in a snapshot, or a generator pickled alone. Raises :class:`CheckpointError`."""
    name, module = _chosen(value, answers)
    budget = Budget(limits)
    layers = dict(nested_modules(module, budget))
    state = read_all(dict(tensors_of(layers, budget)), limits)
    _check_kind(state, name)
    settings = _Settings(layers, answers)
    config = config_of(state, settings.lr_multiplier, settings.conv_clamp)
    settings.check(config, state)
    facts = {"class": module.class_name} | settings.facts
    return _found("nvidia-pytorch", name, config, state, facts)


def read_nvidia_state(state: Mapping[str, Tensor], name: str, answers: Answers) -> Found:
    """A bare state dictionary, which does not hold all settings: the caller has to say them."""
    _check_kind(state, name)
    questions = []
    if answers.mapping_lr_multiplier is None:
        questions.append(MULTIPLIER)
    if answers.conv_clamp is None:
        questions.append(CLAMP)
    if questions:
        raise ask(*questions)
    assert answers.mapping_lr_multiplier is not None
    config = config_of(state, answers.mapping_lr_multiplier, answers.conv_clamp or None)
    return _found("nvidia-state", name, config, state, {})


def _found(
    format: str, name: str, config: StyleGAN2Config, state: Mapping[str, Tensor], facts: Mapping[str, str]
) -> Found:
    noisy = any(key.endswith("noise_strength") for key in state)
    notes = (MISSING_NOISE,) if noisy and not has_noise_maps(state) else ()
    ours, has_w_avg = from_nvidia_state(state, config), "mapping.w_avg" in state
    return Found(format, name, config, ours, has_w_avg=has_w_avg, noisy=noisy, facts=facts, notes=notes)


def _check_kind(state: Mapping[str, Tensor], name: str) -> None:
    """Raise for a network that is no StyleGAN2 generator with the name of its kind, before anything is asked."""
    if not state:
        detail = "its modules hold no tensors"
        raise CheckpointError("this file holds no generator", [Problem(detail, name)])
    kind = related_kind(state)
    sides = _sides(state)
    if not kind and not sides:
        kind = unread_kind(state)
    if kind:
        raise refusal(kind, name)
    if not sides or "synthesis.b" + str(sides[0]) + ".const" not in state or "mapping.fc0.weight" not in state:
        begin = ", ".join(sorted(state)[:5])
        detail = f"no StyleGAN2 layers; its tensors begin with {begin}"[:300]
        raise CheckpointError("this is not a StyleGAN2 generator", [Problem(detail, name)])
    _check_mapping(state)


def _check_mapping(state: Mapping[str, Tensor]) -> None:
    """Raise for mapping networks whose widths differ, which are not supported."""
    affine = state.get(f"synthesis.b{_sides(state)[0]}.conv1.affine.weight")
    embed = state.get("mapping.embed.weight")
    w_dim = affine.shape[-1] if affine is not None and affine.dim() == 2 else None
    problems = []
    if w_dim and embed is not None and embed.dim() == 2 and embed.shape[0] != w_dim:
        detail = f"embed_features is {embed.shape[0]} where w_dim is {w_dim}; only equal widths are supported"
        problems.append(Problem(detail, "mapping.embed.weight"))
    widths = {
        key: one.shape[0]
        for key, one in state.items()
        if key.startswith("mapping.fc") and key.endswith(".weight") and one.dim() == 2
    }
    for key, width in widths.items():
        if w_dim and width != w_dim:
            detail = f"layer_features is {width} where w_dim is {w_dim}; only equal widths are supported"
            problems.append(Problem(detail, key))
    if problems:
        raise CheckpointError("this mapping network is not supported", problems)


def config_of(state: Mapping[str, Tensor], lr_multiplier: float, conv_clamp: float | None) -> StyleGAN2Config:
    """The configuration that the tensors themselves show. Raises :class:`CheckpointError` where they show none."""
    sides = _sides(state)
    const = state[f"synthesis.b{sides[0]}.const"]
    channels, problems = {}, []
    for index, side in enumerate(sides):
        weight = state.get(f"synthesis.b{side}.conv1.weight")
        if weight is None or weight.dim() != 4 or side != sides[0] << index:
            problems.append(Problem("missing, or not a convolution's weight", f"synthesis.b{side}.conv1.weight"))
        else:
            channels[index] = weight.shape[0]
    to_rgb = state.get(f"synthesis.b{sides[-1]}.torgb.weight")
    affine = state.get(f"synthesis.b{sides[0]}.conv1.affine.weight")
    for name, tensor, axes in (("torgb.weight", to_rgb, 4), ("conv1.affine.weight", affine, 2), ("const", const, 3)):
        if tensor is None or tensor.dim() != axes:
            problems.append(Problem("missing, or of another form", f"synthesis.….{name}"))
    if problems or to_rgb is None or affine is None:
        raise CheckpointError("this is not a StyleGAN2 generator", problems)
    embed = state.get("mapping.embed.weight")
    w_dim, entering = affine.shape[1], state["mapping.fc0.weight"].shape[-1]
    depth = sum(key.startswith("mapping.fc") and key.endswith(".weight") for key in state)
    height, width = const.shape[1:]
    return StyleGAN2Config(
        resolution=(height << (len(sides) - 1), width << (len(sides) - 1)),
        const_size=(height, width),
        channels=channels,
        z_dim=entering - (0 if embed is None else embed.shape[0]),
        w_dim=w_dim,
        c_dim=0 if embed is None else embed.shape[-1],
        mapping_layers=depth,
        mapping_lr_multiplier=lr_multiplier,
        conv_clamp=conv_clamp,
        architecture=_architecture(state, sides),
        image_channels=to_rgb.shape[0],
    )


def _sides(state: Mapping[str, Tensor]) -> list[int]:
    """Heights of the synthesis blocks, ascending."""
    blocks = (re.fullmatch(r"synthesis\.b([1-9][0-9]{0,5})\..+", key) for key in state)
    return sorted({int(block[1]) for block in blocks if block})


def _architecture(state: Mapping[str, Tensor], sides: list[int]) -> Architecture:
    if any(f"synthesis.b{side}.skip.weight" in state for side in sides):
        return "resnet"
    return "skip" if all(f"synthesis.b{side}.torgb.weight" in state for side in sides) else "orig"


def _chosen(value: Any, answers: Answers) -> tuple[str, Record]:
    if isinstance(value, Record):
        return "", value
    networks = {key: one for key, one in value.items() if key in NETWORKS and isinstance(one, Record)}
    wanted = answers.network or next((name for name in NETWORKS if name in networks), None)
    if wanted not in networks:
        there = ", ".join(sorted(map(str, value)))[:200]
        raise CheckpointError(
            f"no generator {wanted or 'G_ema'} in this file", [Problem(f"the file holds {there}", "network")]
        )
    return str(wanted), networks[wanted]


def nested_modules(module: Record, budget: Budget, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Record]]:
    """Yield (prefix of its names, module) of a stored module and of all modules inside it."""
    if depth > _DEPTH:
        raise CheckpointError("this is not a StyleGAN2 generator", [Problem("modules nested too deeply", "")])
    yield prefix, module
    children = _attribute(module, "_modules")
    budget.visit(len(children))
    for name, child in children.items():
        if isinstance(child, Record):
            budget.make(len(prefix))
            yield from nested_modules(child, budget, f"{prefix}{name}.", depth + 1)


def _attribute(module: Record, name: str) -> dict[str, Any]:
    value = module.state.get(name)
    return value if type(value) is dict else {}


def tensors_of(layers: Mapping[str, Record], budget: Budget) -> Iterator[tuple[str, StoredTensor]]:
    """Yield (name, tensor) of every parameter and buffer of modules that :func:`nested_modules` yielded."""
    for prefix, module in layers.items():
        for kind in ("_parameters", "_buffers"):
            entries = _attribute(module, kind)
            budget.visit(len(entries))
            for name, tensor in entries.items():
                if isinstance(tensor, StoredTensor):
                    budget.make(len(prefix))
                    yield f"{prefix}{name}", tensor


class _Settings:
    """What has no tensor: read from the attributes of the layers, which all have to agree."""

    def __init__(self, layers: Mapping[str, Record], answers: Answers) -> None:
        self._layers = layers
        multipliers = self._values("bias_gain", [key for key in layers if key.startswith("mapping.fc")])
        clamps = self._values("conv_clamp", self._synthesis(("conv0", "conv1", "torgb")))
        if not multipliers and answers.mapping_lr_multiplier is not None:
            multipliers = {answers.mapping_lr_multiplier}
        if not clamps and answers.conv_clamp is not None:
            clamps = {answers.conv_clamp or None}
        questions = [MULTIPLIER] * (not multipliers) + [CLAMP] * (not clamps)
        if questions:
            raise ask(*questions)
        self.lr_multiplier: float = self._only("bias_gain", multipliers, "mapping.….bias_gain")
        self.conv_clamp: float | None = self._only("conv_clamp", clamps, "synthesis.….conv_clamp")
        fp16 = [key.removesuffix(".") for key, one in layers.items() if one.state.get("use_fp16") is True]
        self.facts = {"fp16 blocks": f"{len(fp16)}, computed in float32 here"} if fp16 else {}

    def _synthesis(self, names: tuple[str, ...]) -> list[str]:
        return [key for key in self._layers if key.startswith("synthesis.b") and key.split(".")[2] in names]

    def _values(self, attribute: str, keys: list[str]) -> set[Any]:
        return {self._layers[key].state.get(attribute) for key in keys if _is_setting(self._layers[key], attribute)}

    def _only(self, attribute: str, values: set[Any], pointer: str) -> Any:
        if len(values) > 1:
            detail = f"{attribute} differs between layers: {sorted(map(str, values))[:5]}"
            raise CheckpointError("this generator is built in an unusual way", [Problem(detail, pointer)])
        return next(iter(values), None)

    def check(self, config: StyleGAN2Config, state: Mapping[str, Tensor]) -> None:
        """Raise for settings that our network does not have."""
        problems = []
        for key, layer in self._layers.items():
            place = key.removesuffix(".")
            wanted = {"mapping.fc": "lrelu", "mapping.embed": "linear"}
            kind = next((name for start, name in wanted.items() if place.startswith(start)), None)
            if place.startswith("synthesis.") and place.endswith((".conv0", ".conv1")):
                kind = "lrelu"
            activation = layer.state.get("activation")
            if kind and activation is not None and activation != kind:
                problems.append(Problem(f"activation {shown(activation)}, not {kind!r}", f"{place}.activation"))
            architecture = layer.state.get("architecture")
            if architecture is not None and architecture != config.architecture:
                problems.append(Problem(f"{shown(architecture)}, but its tensors show {config.architecture!r}", place))
        if problems:
            raise CheckpointError("this generator is built in an unusual way", problems)
        check_filters(state, (".resample_filter",), 1.0)


def _is_setting(layer: Record, attribute: str) -> bool:
    value = layer.state.get(attribute, ...)
    return value is None or isinstance(value, float | int)
