"""Generators with their discriminators, and states as bytes, among the tensors of a training's state."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core import checkpoint_io
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training import companions
from core.generators.stylegan2.training.discriminator import Discriminator


def bytes_as_tensor(content: bytes) -> Tensor:
    """Return bytes as uint8 [N]."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def tensor_as_bytes(tensor: Tensor) -> bytes:
    """Return the bytes of uint8 [N]."""
    return tensor.numpy().tobytes()


def put_pair(
    tensors: dict[str, Tensor], shapes: dict[str, Any], name: str, generator: Network, discriminator: Discriminator
) -> None:
    """Add both networks to ``tensors`` and their configurations to ``shapes``, under ``name``."""
    shapes[name] = [generator.config.to_json(), companions.discriminator_config_json(discriminator.config)]
    tensors |= {f"{name}.generator.{key}": value for key, value in generator.state_dict().items()}
    tensors |= {f"{name}.discriminator.{key}": value for key, value in discriminator.state_dict().items()}


def take_pair(tensors: Mapping[str, Tensor], shapes: Mapping[str, Any], name: str) -> tuple[Network, Discriminator]:
    """Build what :func:`put_pair` stored. Raises KeyError, ValueError or RuntimeError where tensors do not fit."""
    generator_shape, discriminator_shape = shapes[name]
    generator = Network(StyleGAN2Config.from_json(generator_shape))
    generator.load_state_dict(checkpoint_io.within(tensors, f"{name}.generator"))
    discriminator = Discriminator(companions.discriminator_config(discriminator_shape))
    discriminator.load_state_dict(checkpoint_io.within(tensors, f"{name}.discriminator"))
    return generator, discriminator
