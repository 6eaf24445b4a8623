"""The discriminator beside a trained generator, so that training can go on from both."""

import json
from dataclasses import asdict, replace
from math import sqrt
from typing import Any

import safetensors
import safetensors.torch
import torch

from core.errors import GeneratorError, Problem
from core.generators.stylegan2.training.discriminator import Discriminator, DiscriminatorConfig

DISCRIMINATOR = "discriminator.safetensors"
"""Name among the files of a generator."""
_CONFIG = "config"


def discriminator_config_json(config: DiscriminatorConfig) -> dict[str, Any]:
    """Return JSON values that :func:`discriminator_config` reads."""
    return asdict(config) | {"channels": {str(block): count for block, count in config.channels.items()}}


def discriminator_config(values: dict[str, Any]) -> DiscriminatorConfig:
    """Return the configuration of JSON values."""
    sizes = {name: tuple(values[name]) for name in ("resolution", "const_size")}
    channels = {int(block): count for block, count in values["channels"].items()}
    return DiscriminatorConfig(**{**values, **sizes, "channels": channels})


def discriminator_bytes(discriminator: Discriminator) -> bytes:
    """Return a safetensors file with weights and configuration."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in discriminator.state_dict().items()}
    return safetensors.torch.save(state, {_CONFIG: json.dumps(discriminator_config_json(discriminator.config))})


def discriminator_of(content: bytes) -> Discriminator:
    """Return the discriminator of a file. Raises :class:`GeneratorError` where it is damaged."""
    try:
        state = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        values = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_CONFIG])
        discriminator = Discriminator(discriminator_config(values))
        discriminator.load_state_dict({name: torch.clone(tensor) for name, tensor in state.items()})
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise GeneratorError("the discriminator cannot be read", [Problem(str(error), DISCRIMINATOR)]) from None
    return discriminator


def with_three_channels(discriminator: Discriminator) -> Discriminator:
    """Return a discriminator of grey images as one that gives the same logits for them with equal channels."""
    colour = Discriminator(replace(discriminator.config, image_channels=3))
    state = dict(discriminator.state_dict())
    # Stored weights are divided by the root of their number of inputs when they are used.
    state["from_rgb.weight"] = state["from_rgb.weight"].expand(-1, 3, -1, -1) / sqrt(3)
    colour.load_state_dict(state)
    return colour
