"""The two networks that a training begins with: random ones, or those of an earlier generator."""

from dataclasses import dataclass, field, replace
from math import sqrt

import torch
from torch import Tensor

from contracts.generator_training.stylegan2 import SIZES
from contracts.generator_training.stylegan2 import block_sizes as sizes_of
from core.errors import GeneratorError, Problem
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.discriminator import Discriminator, DiscriminatorConfig


@dataclass(frozen=True)
class Start:
    """Networks to train on from. The generator's sizes and widths are kept; classes may differ, and the images may be
    larger by powers of two, for which blocks are added.
    """

    generator: StyleGAN2Generator
    discriminator: Discriminator | None = None
    """None for a new one, which learns from nothing."""
    classes: tuple[str, ...] = field(default=())
    """Names of the start's classes, if they are not those in the generator's facts."""


@dataclass(frozen=True)
class Networks:
    """Both networks, and the names of the weights that begin at random although there is a start."""

    generator: Network
    discriminator: Discriminator
    new: tuple[str, ...] = ()


def build_networks(
    config: GanConfig, shape: tuple[int, int, int], classes: tuple[str, ...], start: Start | None, seed: int
) -> Networks:
    """Build the networks for images of (channels, height, width). Raises :class:`GeneratorError` where the images do
    not fit the start, or no network draws their size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shaped = (
            _new_config(config, shape, len(classes)) if start is None else _grown_config(config, shape, classes, start)
        )
        generator = Network(shaped)
        description = DiscriminatorConfig.matching(
            shaped, config.discriminator, config.discriminator_mapping_layers, config.stddev_group
        )
        if start is not None and start.discriminator is not None:
            description = _like(description, start.discriminator.config)
        discriminator = Discriminator(description)
    if start is None:
        return Networks(generator, discriminator)
    old = start.classes or start.generator.info.classes
    rows = [old.index(name) if name in old else -1 for name in classes]
    new = _take_over(generator, start.generator.network, rows)
    if start.discriminator is None:
        return Networks(generator, discriminator, tuple(new))
    new += [f"discriminator.{name}" for name in _take_over(discriminator, start.discriminator, rows)]
    return Networks(generator, discriminator, tuple(new))


def block_sizes(height: int, width: int) -> tuple[tuple[int, int], int]:
    """Return the size of the learned constant and the number of blocks for images of this size.

    Raises :class:`GeneratorError` where the size is no small constant times a power of two.
    """
    found = sizes_of(height, width)
    if found is None:
        raise GeneratorError("no generator draws images of this size", [Problem(f"expected {SIZES}", "resolution")])
    return found


def _new_config(config: GanConfig, shape: tuple[int, int, int], classes: int) -> StyleGAN2Config:
    channels, height, width = shape
    const_size, blocks = block_sizes(height, width)
    return StyleGAN2Config(
        resolution=(height, width),
        const_size=const_size,
        channels=_widths(config, const_size[0], blocks),
        z_dim=config.latent_width,
        w_dim=config.latent_width,
        c_dim=classes,
        mapping_layers=config.mapping_layers,
        conv_clamp=config.conv_clamp,
        image_channels=channels,
    )


def _widths(config: GanConfig, const_height: int, blocks: int) -> dict[int, int]:
    if config.widths and len(config.widths) < blocks:
        detail = f"expected {blocks} widths, one a block, found {len(config.widths)}"
        raise GeneratorError("the widths do not fit the images", [Problem(detail, "widths")])
    if config.widths:
        return dict(enumerate(config.widths[:blocks]))
    wanted = [config.channel_base // (const_height << block) for block in range(blocks)]
    return {block: max(1, min(width, config.channel_max)) for block, width in enumerate(wanted)}


def _grown_config(
    config: GanConfig, shape: tuple[int, int, int], classes: tuple[str, ...], start: Start
) -> StyleGAN2Config:
    old = start.generator.network.config
    channels, height, width = shape
    blocks = old.blocks
    while old.const_size[0] << (blocks - 1) < height:
        blocks += 1
    drawn = old.const_size[0] << (blocks - 1), old.const_size[1] << (blocks - 1)
    problems = []
    if drawn != (height, width) or blocks < old.blocks:
        detail = f"expected {old.resolution} or that times a power of two, found {(height, width)}"
        problems.append(Problem(detail, "resolution"))
    elif blocks > old.blocks and old.architecture != "skip":
        detail = f"a generator of the architecture {old.architecture!r} cannot grow from {old.resolution}"
        problems.append(Problem(detail, "resolution"))
    if channels != old.image_channels:
        problems.append(Problem(f"expected {old.image_channels}, found {channels}", "channels"))
    if problems:
        raise GeneratorError("the images do not fit the generator to begin with", problems)
    widths = _widths(config, old.const_size[0], blocks) if blocks > old.blocks else {}
    return replace(old, resolution=(height, width), channels={**widths, **old.channels}, c_dim=len(classes))


def _like(wanted: DiscriminatorConfig, start: DiscriminatorConfig) -> DiscriminatorConfig:
    """Return ``wanted`` built as the start is: its architecture, widths and mapping network."""
    if start.const_size != wanted.const_size or start.image_channels != wanted.image_channels:
        detail = f"its last block has {start.const_size} pixels, the generator's first {wanted.const_size}"
        raise GeneratorError("discriminator and generator do not fit", [Problem(detail, "discriminator")])
    channels = {block: count for block, count in start.channels.items() if block in wanted.channels}
    return replace(
        wanted,
        channels={**wanted.channels, **channels},
        architecture=start.architecture,
        mapping_layers=start.mapping_layers if start.c_dim else wanted.mapping_layers,
        mapping_lr_multiplier=start.mapping_lr_multiplier,
        conv_clamp=start.conv_clamp,
    )


@torch.no_grad()
def _take_over(network: Network | Discriminator, source: Network | Discriminator, rows: list[int]) -> list[str]:
    """Copy the weights of ``source`` that have a place in ``network``; return the names of those that begin at random.

    rows: for each class its number in the source, or -1 for a new class, which begins as the mean of the old ones.
    """
    old, new = source.state_dict(), []
    grown = network.config.blocks > source.config.blocks
    for name, tensor in network.state_dict().items():
        given = old.get(name)
        if name == "mapping.embed.weight" and given is not None:
            tensor.copy_(_embeddings(given, rows))
        elif name == "mapping.layers.0.weight" and isinstance(network, Network) and given is not None:
            # The columns of a class embedding that the source has not begin at zero. Stored weights are divided by the
            # root of their number of inputs when they are used.
            tensor.zero_()
            shared = min(tensor.shape[1], given.shape[1])
            tensor[:, :shared] = given[:, :shared] * sqrt(tensor.shape[1] / given.shape[1])
        elif given is not None and given.shape == tensor.shape and not (grown and name.startswith("from_rgb.")):
            tensor.copy_(given)
        else:
            new.append(name)
            if grown and ".to_rgb.weight" in name:
                tensor.zero_()  # the picture begins as the smaller one, enlarged
    return new


def _embeddings(given: Tensor, rows: list[int]) -> Tensor:
    """Class embeddings [width, K'] from [width, K]; stored weights are divided by √K when they are used."""
    columns = [given[:, row] if row >= 0 else given.mean(1) for row in rows]
    return torch.stack(columns, 1) * sqrt(len(rows) / given.shape[1])


def with_three_channels(network: Network) -> Network:
    """Return a generator of grey images as one of colour images with equal channels."""
    colour = Network(replace(network.config, image_channels=3))
    state = {
        name: tensor.expand(3, *tensor.shape[1:]) if ".to_rgb." in name and "affine" not in name else tensor
        for name, tensor in network.state_dict().items()
    }
    colour.load_state_dict(state)
    return colour
