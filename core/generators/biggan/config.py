"""Architecture of a BigGAN or BigGAN-deep generator, without its weights. Torch-free."""

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

from core.errors import GeneratorError, Problem

Architecture = Literal["biggan", "biggan-deep"]
"""Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis": figure 15 and figure 16."""

SpectralNorm = Literal["none", "iterated", "stored"]
"""Division of a layer's weight by its largest singular value.

none: not at all. iterated: power iterations from the stored vector ``u`` at every pass (ajbrock/BigGAN-PyTorch).
stored: the value u W v of the stored vectors, without iteration (torch's first spectral norm, Hugging Face).
"""

#: Side of the first feature map in pixels.
FIRST_SIDE = 4
#: Blocks of one generator; BigGAN-deep of 512 pixels has 14.
_MOST_BLOCKS = 64
#: Width of layers, lengths of vectors, number of classes.
_MOST = 1 << 16


class BlockShape(NamedTuple):
    """Channels of one residual block, and whether it doubles the sides of the feature map."""

    in_channels: int
    out_channels: int
    upsample: bool


@dataclass(frozen=True)
class BigGANConfig:
    """Shape of a generator of the family. Every problem is found at construction, in one :class:`GeneratorError`."""

    architecture: Architecture
    blocks: tuple[BlockShape, ...]
    z_dim: int
    """Length of the latent vector."""
    classes: int
    shared_dim: int
    """Width of the class embedding that all layers share; 0: each norm layer has a table of its own."""
    chunked: bool = False
    """Hierarchical z: the first layer and each block get a chunk of it. BigGAN-deep gives all of it to each block."""
    attention: tuple[int, ...] = ()
    """Indices of the blocks that a self-attention layer follows."""
    output_channels: int = 3
    """Channels of the last convolution; the first three are the image."""
    norm_eps: float = 1e-5
    output_norm_eps: float = 1e-5
    spectral_norm: SpectralNorm = "iterated"
    spectral_eps: float = 1e-6
    spectral_iterations: int = 1
    statistics: int = 1
    """Rows of the tables of batch-norm statistics: 1, or one for each of so many truncations from 0 to 1."""

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise GeneratorError("invalid BigGAN configuration", problems)
        object.__setattr__(self, "blocks", tuple(BlockShape(*block) for block in self.blocks))
        object.__setattr__(self, "attention", tuple(self.attention))

    @property
    def side(self) -> int:
        """Height and width of the images in pixels."""
        return FIRST_SIDE << sum(block.upsample for block in self.blocks)

    @property
    def deep(self) -> bool:
        """Whether this is BigGAN-deep."""
        return self.architecture == "biggan-deep"

    @property
    def chunk(self) -> int:
        """Length of the part of z that one layer gets."""
        return self.z_dim // (len(self.blocks) + 1) if self.chunked else self.z_dim

    @property
    def first_width(self) -> int:
        """Length of the input of the first layer."""
        return self.shared_dim + self.z_dim if self.deep else self.chunk

    @property
    def condition_width(self) -> int:
        """Length of the vector that a block's norm layers are conditioned on; 0: on the class index alone."""
        if self.deep:
            return self.shared_dim + self.z_dim
        return self.shared_dim + (self.chunk if self.chunked else 0)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads."""
        values = asdict(self)
        values["blocks"] = [list(block) for block in self.blocks]
        values["attention"] = list(self.attention)
        return values

    @classmethod
    def from_json(cls, values: Any) -> "BigGANConfig":
        """Read what :meth:`to_json` wrote. Raises :class:`GeneratorError` that names every wrong field."""
        if not isinstance(values, dict):
            raise GeneratorError("a generator configuration is a JSON object", [Problem("not an object", "config")])
        known = {one.name for one in fields(cls)}
        required = ("architecture", "blocks", "z_dim", "classes", "shared_dim")
        problems = [Problem("unknown field", str(name)) for name in sorted(set(map(str, values)) - known)]
        problems += [Problem("missing", name) for name in required if name not in values]
        if problems:
            raise GeneratorError("invalid BigGAN configuration", problems)
        return cls(**values)


def _is_count(value: Any, least: int = 1, most: int = _MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_small(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _is_block(value: Any) -> bool:
    listed = isinstance(value, list | tuple) and len(value) == 3
    return listed and _is_count(value[0]) and _is_count(value[1]) and isinstance(value[2], bool)


def _problems(config: BigGANConfig) -> list[Problem]:
    found = []
    for name, least in (("z_dim", 1), ("classes", 1), ("shared_dim", 0), ("output_channels", 3), ("statistics", 1)):
        if not _is_count(getattr(config, name), least):
            found.append(Problem(f"not a whole number from {least} to {_MOST}", name))
    for name, values in (("architecture", get_args(Architecture)), ("spectral_norm", get_args(SpectralNorm))):
        if getattr(config, name) not in values:
            found.append(Problem(f"not one of {', '.join(values)}", name))
    for name in ("norm_eps", "output_norm_eps", "spectral_eps"):
        if not _is_small(getattr(config, name)):
            found.append(Problem("not a number between 0 and 1", name))
    if not _is_count(config.spectral_iterations, 1, 100):
        found.append(Problem("not a whole number from 1 to 100", "spectral_iterations"))
    if config.chunked not in (True, False):
        found.append(Problem("neither true nor false", "chunked"))
    found += _block_problems(config.blocks, config.attention)
    return found or _conflicts(config)


def _block_problems(blocks: Any, attention: Any) -> list[Problem]:
    if not isinstance(blocks, list | tuple) or not 0 < len(blocks) <= _MOST_BLOCKS or not all(map(_is_block, blocks)):
        return [Problem(f"not a list of up to {_MOST_BLOCKS} [channels in, channels out, upsampled]", "blocks")]
    found = [
        Problem(f"takes {after[0]} channels where the block before gives {before[1]}", f"blocks.{index + 1}")
        for index, (before, after) in enumerate(itertools.pairwise(blocks))
        if before[1] != after[0]
    ]
    if sum(block[2] for block in blocks) > 12:
        found.append(Problem("more than 12 blocks upsample", "blocks"))
    if not isinstance(attention, list | tuple) or not _rising(attention, len(blocks)):
        found.append(Problem(f"not rising indices from 0 to {len(blocks) - 1}", "attention"))
    return found


def _rising(indices: Iterable[Any], end: int) -> bool:
    listed = list(indices)
    return all(_is_count(index, 0, end - 1) for index in listed) and listed == sorted(set(listed))


def _conflicts(config: BigGANConfig) -> list[Problem]:
    """Settings that are valid alone and not together."""
    found = []
    if config.deep and not config.shared_dim:
        found.append(Problem("BigGAN-deep needs a shared class embedding", "shared_dim"))
    if config.chunked and (config.deep or not config.shared_dim):
        found.append(Problem("only BigGAN with a shared class embedding has a hierarchical z", "chunked"))
    if config.chunked and config.z_dim % (len(config.blocks) + 1):
        found.append(Problem(f"not a multiple of {len(config.blocks) + 1}, the number of chunks", "z_dim"))
    if config.deep:
        narrow = [index for index, (before, after, _) in enumerate(config.blocks) if after > before or before % 4]
        found += [Problem("widens, or is no multiple of 4 wide", f"blocks.{index}") for index in narrow]
    narrow = [index for index in config.attention if config.blocks[index][1] < 8]
    found += [Problem("fewer than 8 channels for attention", f"blocks.{index}") for index in narrow]
    return found
