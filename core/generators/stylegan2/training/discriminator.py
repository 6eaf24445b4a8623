"""StyleGAN2's discriminator: images and classes → logits (Karras et al. 2020, section 4 and figure 7).

Block ``k`` works at ``const_size * 2**k`` as in the generator, and the channels of a block are those of the
generator's by default. Gains are folded into weights, so that no pass over the features applies them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import GeneratorError, Problem
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import EPSILON, GAIN, LAYOUT, LEAK, SHARE, Linear
from core.generators.stylegan2.resample import binomial_filtered, halved

Architecture = Literal["resnet", "orig"]
"""Whether a block adds a shortcut to its output."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Shape of a discriminator. Sizes are (height, width) in pixels."""

    resolution: tuple[int, int]
    channels: Mapping[int, int] = field(hash=False)
    """Block index → channels of its input; block 0 is the last, which returns the logits."""
    const_size: tuple[int, int] = (4, 4)
    c_dim: int = 0
    """Number of classes; 0 for none."""
    image_channels: int = 3
    architecture: Architecture = "resnet"
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    stddev_group: int = 4
    """Images that the minibatch statistic compares; fewer where the batch is no multiple of it."""
    conv_clamp: float | None = None
    """Absolute limit of every convolution's output; None for none."""

    def __post_init__(self) -> None:
        drawn = tuple(side << (len(self.channels) - 1) for side in self.const_size)
        problems = []
        if set(self.channels) != set(range(len(self.channels))) or not self.channels:
            problems.append(Problem(f"expected blocks 0, 1, 2, …, found {sorted(self.channels)}", "channels"))
        elif tuple(self.resolution) != drawn:
            problems.append(Problem(f"expected {drawn} for {len(self.channels)} blocks", "resolution"))
        if self.architecture not in get_args(Architecture):
            problems.append(Problem(f"expected one of {', '.join(get_args(Architecture))}", "architecture"))
        problems += [
            Problem(f"expected a whole number ≥ 1, found {getattr(self, name)}", name)
            for name in ("image_channels", "stddev_group", "mapping_layers")
            if getattr(self, name) < 1
        ]
        if problems:
            raise GeneratorError("this discriminator configuration is wrong", problems)

    @classmethod
    def matching(
        cls,
        generator: StyleGAN2Config,
        architecture: Architecture = "resnet",
        mapping_layers: int = 8,
        stddev_group: int = 4,
    ) -> "DiscriminatorConfig":
        """Return the mirror image of a generator: the same sizes and channels."""
        return cls(
            resolution=generator.resolution,
            channels=dict(generator.channels),
            const_size=generator.const_size,
            c_dim=generator.c_dim,
            image_channels=generator.image_channels,
            architecture=architecture,
            mapping_layers=mapping_layers,
            stddev_group=stddev_group,
            conv_clamp=generator.conv_clamp,
        )

    @property
    def blocks(self) -> int:
        """Number of blocks, the last one included."""
        return len(self.channels)

    @property
    def condition_width(self) -> int:
        """Width of the class projection: the channels of the last block; 0 without classes."""
        return self.channels[0] if self.c_dim else 0


class Conv(nn.Module):
    """Convolution with equalised learning rate, bias, leaky ReLU, gain and clamp; optionally halving the size after
    the binomial filter.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, down: bool = False, clamp: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / sqrt(inputs * kernel * kernel)
        self.down, self.clamp = down, clamp

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """x [N, I, h, w] → [N, O, h, w], or half that size; the result is multiplied by ``gain``."""
        weight, bias = self.weight * (self.scale * GAIN * gain), self.bias * (GAIN * gain)
        if self.down:
            x = F.conv2d(binomial_filtered(x, padding=2), weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=self.weight.shape[-1] // 2)
        x = F.leaky_relu(x, LEAK)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class Shortcut(nn.Module):
    """Filter, halve the size, 1x1 convolution without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.gain = SHARE / sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I, h, w] → [N, O, h/2, w/2]."""
        return F.conv2d(halved(x), self.weight * self.gain)


class Block(nn.Module):
    """One resolution: two convolutions, of which the second halves the size."""

    def __init__(self, index: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        inputs, outputs = config.channels[index], config.channels[index - 1]
        self.conv0 = Conv(inputs, inputs, 3, clamp=config.conv_clamp)
        self.conv1 = Conv(inputs, outputs, 3, down=True, clamp=config.conv_clamp)
        self.shortcut = Shortcut(inputs, outputs) if config.architecture == "resnet" else None

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I, h, w] → [N, O, h/2, w/2]."""
        if self.shortcut is None:
            out: Tensor = self.conv1(self.conv0(x))
            return out
        return torch.add(self.shortcut(x), self.conv1(self.conv0(x), gain=SHARE))


class ConditionMapping(nn.Module):
    """Classes → projection vectors: StyleGAN2's mapping network without a latent."""

    def __init__(self, classes: int, width: int, layers: int, lr_multiplier: float) -> None:
        super().__init__()
        self.embed = Linear(classes, width)
        self.layers = nn.ModuleList(Linear(width, width, lr_multiplier=lr_multiplier) for _ in range(layers))

    def forward(self, c: Tensor, embedding_noise: Tensor | None = None) -> Tensor:
        """c [N, classes] → [N, width]. embedding_noise: added to the embedding before it is normalised."""
        x: Tensor = self.embed(c)
        if embedding_noise is not None:
            x = x + embedding_noise
        x = x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        for layer in self.layers:
            x = F.leaky_relu(layer(x, gain=GAIN), LEAK)
        return x


class Discriminator(nn.Module):
    """Images, and classes where there are any, → logits."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        last, (height, width) = config.channels[0], config.const_size
        largest = config.channels[config.blocks - 1]
        self.from_rgb = Conv(config.image_channels, largest, 1, clamp=config.conv_clamp)
        self.blocks = nn.ModuleDict({str(index): Block(index, config) for index in range(config.blocks - 1, 0, -1)})
        self.conv = Conv(last + 1, last, 3, clamp=config.conv_clamp)
        self.dense = Linear(last * height * width, last)
        self.out = Linear(last, config.condition_width or 1)
        self.mapping = (
            ConditionMapping(config.c_dim, last, config.mapping_layers, config.mapping_lr_multiplier)
            if config.c_dim
            else None
        )

    def features(self, image: Tensor) -> Tensor:
        """Return the features of the last dense layer. image: float [N, C, H, W] in [-1, 1] → float32 [N, channels].

        Under autocast the convolutional blocks alone are computed in its type.
        """
        expected = (self.config.image_channels, *self.config.resolution)
        if tuple(image.shape[1:]) != expected:
            problem = Problem(f"expected [N, {', '.join(map(str, expected))}], found {list(image.shape)}", "image")
            raise GeneratorError("images do not fit this discriminator", [problem])
        x = self.from_rgb(image.contiguous(memory_format=LAYOUT))
        for block in self.blocks.values():
            x = block(x)
        with torch.autocast(x.device.type, enabled=False):
            x = self.conv(with_minibatch_stddev(x.float(), self.config.stddev_group))
            return F.leaky_relu(self.dense(x.flatten(1), gain=GAIN), LEAK)

    def forward(self, image: Tensor, c: Tensor | None = None, embedding_noise: Tensor | None = None) -> Tensor:
        """image: float [N, C, H, W]; c: float [N, c_dim], for a conditional discriminator → logits float32 [N, 1].

        The logit of a class is the scaled product of the features' projection with the mapped class (Miyato and
        Koyama 2018; Karras et al. 2020a, appendix C).
        """
        features = self.features(image)
        with torch.autocast(features.device.type, enabled=False):
            x: Tensor = self.out(features)
            if self.mapping is None:
                return x
            assert c is not None
            logits: Tensor = (x * self.mapping(c, embedding_noise)).sum(1, keepdim=True) / sqrt(x.shape[1])
            return logits

    def layers_from_the_image(self) -> Iterator[Sequence[nn.Parameter]]:
        """Yield the parameters of each layer in the order of the forward pass: to freeze the first ones."""
        yield list(self.from_rgb.parameters())
        for block in self.blocks.values():
            assert isinstance(block, Block)
            layers = [block.conv0, block.conv1] + ([block.shortcut] if block.shortcut is not None else [])
            yield from (list(layer.parameters()) for layer in layers)
        yield from (list(layer.parameters()) for layer in (self.conv, self.dense, self.out))


def with_minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """Append a channel with the mean standard deviation over a group of images (Karras et al. 2018, section 3).

    x [N, C, h, w] → [N, C + 1, h, w]. Image ``i`` belongs to group ``i mod (N / G)``; G is the largest divisor of N up
    to ``group``.
    """
    count = len(x)
    size = next(size for size in range(min(group, count), 0, -1) if count % size == 0)
    groups = x.reshape(size, count // size, *x.shape[1:])  # [G, M, C, h, w]
    deviation = (groups.var(0, correction=0) + EPSILON).sqrt().mean((1, 2, 3))  # [M]
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], dim=1)
