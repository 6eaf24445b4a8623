"""Safetensors: our own files, which describe themselves, and bare states of other projects."""

import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from core.checkpoints.limits import Limits, unsafe
from core.errors import CheckpointError, Problem
from core.generators.files import METADATA, parse_description
from core.generators.import_source import Answers, Found
from core.generators.stylegan2.checkpoints.other_kinds import refusal, related_kind, unread_kind
from core.generators.stylegan2.checkpoints.state_dicts import LATENT_AVG, StateDict, choose, read_chosen, state_dicts
from core.generators.stylegan2.checkpoints.states import from_own_state


def read_safetensors(path: Path, answers: Answers, limits: Limits) -> Found:
    """The generator in a safetensors file. Raises :class:`CheckpointError`."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - not a mapping
            needed = 4 * sum(torch.Size(shape).numel() for shape in shapes)
            if needed > limits.tensor_bytes:
                raise unsafe(f"its tensors need {needed} bytes; {limits.tensor_bytes} are allowed")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, OverflowError) as error:
        raise CheckpointError("this safetensors file is broken", [Problem(str(error), path.name)]) from None
    if METADATA in metadata:
        return _own(state, metadata[METADATA])
    kind = related_kind(state)
    found = [] if kind else state_dicts(state)
    if found:
        chosen = choose(found, answers)
        average = {LATENT_AVG: state[LATENT_AVG]} if LATENT_AVG in state else {}
        return read_chosen(StateDict(chosen.name, chosen.layout, average | chosen.tensors), answers)
    kind = kind or unread_kind(state)
    if kind:
        raise refusal(kind, path.name)
    if "constant" in state and "mapping.layers.0.weight" in state:
        detail = "written before such files described themselves; write it anew with save_generator"
        raise CheckpointError("this file does not say its configuration", [Problem(detail, path.name)])
    names = ", ".join(sorted(state)[:5])
    raise CheckpointError("this is no StyleGAN2 generator", [Problem(f"its tensors begin with {names}", path.name)])


def _own(state: dict[str, Tensor], text: str) -> Found:
    try:
        description: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("this file's description is broken", [Problem(str(error), METADATA)]) from None
    config, info = parse_description(description)
    facts = {name: getattr(info, name) for name in ("name", "licence", "domain") if getattr(info, name)}
    noisy = info.noise != "none"
    return Found("offhand", "", config, from_own_state(state, config), noisy=noisy, facts=facts, classes=info.classes)
