"""Pickles of NVIDIA's TensorFlow projects stylegan2 and stylegan2-ada: (G, D, Gs), each with a list of variables."""

import struct
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from torch import Tensor

from core.checkpoints.limits import Budget, Limits, shown
from core.checkpoints.state_dicts import read_all
from core.checkpoints.values import Record, StoredArray
from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.stylegan2.checkpoints.found import Found
from core.generators.stylegan2.checkpoints.other_kinds import refusal, related_kind
from core.generators.stylegan2.checkpoints.states import MISSING_NOISE, from_tensorflow_state, has_noise_maps
from core.generators.stylegan2.config import Architecture, StyleGAN2Config

NETWORKS = ("G", "D", "Gs")
NETWORK_CLASS = "dnnlib.tflib.network.Network"
_DEPTH = 5
#: Arguments whose value changes what is computed, and the value that our network has.
_FIXED = {"nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu", "normalize_latents": True}


def looks_like_tensorflow(value: Any) -> bool:
    """Whether a pickle holds what NVIDIA's TensorFlow projects write."""
    parts = value if type(value) in (tuple, list) else [value]
    return bool(parts) and all(isinstance(one, Record) and one.class_name == NETWORK_CLASS for one in parts)


def read_tensorflow(value: Any, answers: Answers, limits: Limits) -> Found:
    """The generator in a snapshot, or a generator pickled alone. Raises :class:`CheckpointError`."""
    name, network = _chosen(value, answers)
    state = read_all(dict(_variables(network, Budget(limits))), limits)
    if not state:
        raise CheckpointError("this file holds no generator", [Problem("its networks hold no variables", name)])
    kind = related_kind(state)
    if kind:
        raise refusal(kind, name)
    given = network.state.get("static_kwargs")
    given = given if type(given) is dict else {}
    _check_arguments(given)
    config = config_of(state, given)
    ours = from_tensorflow_state({key: one for key, one in state.items() if _is_weight(key)}, config)
    function = network.state.get("build_func_name")
    facts = {"function": function[:100]} if type(function) is str else {}
    notes = () if has_noise_maps(state) else (MISSING_NOISE,)
    has_w_avg = "dlatent_avg" in state
    return Found("nvidia-tensorflow", name, config, ours, has_w_avg=has_w_avg, facts=facts, notes=notes)


def config_of(state: Mapping[str, Tensor], given: Mapping[str, Any]) -> StyleGAN2Config:
    """The configuration that tensors and arguments show. Raises :class:`CheckpointError` where they show none."""
    if "mapping/LabelConcat/weight" in state:
        detail = Problem("classes are mixed into the latents before they are normalised", "mapping/LabelConcat/weight")
        raise CheckpointError("conditional generators of the first TensorFlow stylegan2 are not supported", [detail])
    sides = [side for side in (4 << k for k in range(16)) if f"synthesis/{side}x{side}/{_second(side)}/weight" in state]
    wanted = {"synthesis/4x4/Const/const": 4, "mapping/Dense0/weight": 2, "synthesis/4x4/Conv/mod_weight": 2}
    wanted[f"synthesis/{sides[-1] if sides else 4}x{sides[-1] if sides else 4}/ToRGB/weight"] = 4
    problems = [
        Problem("missing, or of another form", name)
        for name, axes in wanted.items()
        if name not in state or state[name].dim() != axes
    ]
    if problems or sides != [4 << k for k in range(len(sides))]:
        raise CheckpointError("this is not a StyleGAN2 generator", problems)
    _check_mapping(state)
    embed = state.get("mapping/LabelEmbed/weight")
    entering, w_dim = state["mapping/Dense0/weight"].shape[0], state["synthesis/4x4/Conv/mod_weight"].shape[0]
    last = f"synthesis/{sides[-1]}x{sides[-1]}/ToRGB/weight"
    return StyleGAN2Config(
        resolution=(sides[-1], sides[-1]),
        channels={
            index: state[f"synthesis/{side}x{side}/{_second(side)}/weight"].shape[-1]
            for index, side in enumerate(sides)
        },
        z_dim=entering - (0 if embed is None else embed.shape[1]),
        w_dim=w_dim,
        c_dim=0 if embed is None else embed.shape[0],
        mapping_layers=sum(key.startswith("mapping/Dense") and key.endswith("/weight") for key in state),
        mapping_lr_multiplier=_number(given, "mapping_lrmul", 0.01),
        conv_clamp=_number(given, "conv_clamp", 0.0) or None,
        architecture=_architecture(state, sides),
        image_channels=state[last].shape[-1],
    )


def _check_mapping(state: Mapping[str, Tensor]) -> None:
    """Raise for mapping networks whose widths differ, which are not supported."""
    w_dim = state["synthesis/4x4/Conv/mod_weight"].shape[0]
    problems = [
        Problem(f"mapping_fmaps is {one.shape[1]} where dlatent_size is {w_dim}; only equal widths are supported", key)
        for key, one in state.items()
        if key.startswith(("mapping/Dense", "mapping/LabelEmbed")) and key.endswith("/weight")
        if one.dim() == 2 and one.shape[1] != w_dim
    ]
    if problems:
        raise CheckpointError("this mapping network is not supported", problems)


def _second(side: int) -> str:
    return "Conv" if side == 4 else "Conv1"


def _architecture(state: Mapping[str, Tensor], sides: list[int]) -> Architecture:
    if any(f"synthesis/{side}x{side}/Skip/weight" in state for side in sides):
        return "resnet"
    return "skip" if all(f"synthesis/{side}x{side}/ToRGB/weight" in state for side in sides) else "orig"


def _number(given: Mapping[str, Any], name: str, absent: float) -> float:
    """An argument; where it is not given the project's own default holds, which both versions share."""
    value = given.get(name, absent)
    if value is None:
        return absent
    if type(value) not in (int, float):
        raise CheckpointError("this generator is built in an unusual way", [Problem("not a number", name)])
    return float(value)


def _check_arguments(given: Mapping[str, Any]) -> None:
    problems = [
        Problem(f"{shown(given[name])}, not {value!r}", name)
        for name, value in _FIXED.items()
        if given.get(name, value) != value
    ]
    kernel = given.get("resample_kernel", [1, 3, 3, 1])
    if kernel not in ([1, 3, 3, 1], (1, 3, 3, 1)):
        problems.append(Problem("a filter other than [1, 3, 3, 1]", "resample_kernel"))
    if problems:
        raise CheckpointError("this generator is built in an unusual way", problems)


def _is_weight(name: str) -> bool:
    """Not the level of detail and other variables that drive the training."""
    return name == "dlatent_avg" or ("/" in name and name.rpartition("/")[2] != "lod")


def _chosen(value: Any, answers: Answers) -> tuple[str, Record]:
    if isinstance(value, Record):
        return "", value
    named = dict(zip(NETWORKS, value, strict=False))
    wanted = answers.network or "Gs"
    if wanted not in named or wanted == "D":
        raise CheckpointError(f"no generator {wanted} in this file", [Problem("the file holds G, D and Gs", "network")])
    return wanted, named[wanted]


def _scalar_array(value: float) -> StoredArray:
    """Return a variable without axes as an array of shape (): a TensorFlow session returns it as ``numpy.float32``,
    which is pickled as a number. float64, so that a value beyond float32 is refused by its name later.
    """
    try:
        return StoredArray("<f8", (), False, struct.pack("<d", float(value)))
    except OverflowError:
        return StoredArray("<f8", (), False, struct.pack("<d", inf))


def _variables(network: Record, budget: Budget, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, StoredArray]]:
    if depth > _DEPTH:
        raise CheckpointError("this is not a StyleGAN2 generator", [Problem("networks nested too deeply", "")])
    listed, components = network.state.get("variables"), network.state.get("components")
    listed = listed if type(listed) is list else []
    components = components if type(components) is dict else {}
    # A component may be shared, and its variables then come once more each time.
    budget.visit(len(listed) + len(components))
    for pair in listed:
        if type(pair) is tuple and len(pair) == 2 and type(pair[0]) is str:
            value = _scalar_array(pair[1]) if type(pair[1]) in (float, int) else pair[1]
            if isinstance(value, StoredArray):
                budget.make(len(prefix) + len(pair[0]))
                yield f"{prefix}{pair[0]}", value
    for name, part in components.items():
        if isinstance(part, Record):
            yield from _variables(part, budget, f"{prefix}{name}/", depth + 1)
