"""The BigGAN and BigGAN-deep networks: z and a class → image and the output of every block.

Written from Brock et al. 2019 and from the outputs of ajbrock/BigGAN-PyTorch and of Hugging Face's BigGAN-deep, which
the tests compare with. Names of tensors follow ajbrock's. In training mode the norm layers use and record the
statistics of the batch, and power iterations store their vectors; nothing else differs.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.generators.biggan.config import FIRST_SIDE, BigGANConfig, BlockShape
from core.generators.interface import FeatureLayer
from core.spectral_norm import spectral_normalised

IMAGE_CHANNELS = 3
#: A bottleneck of BigGAN-deep has a quarter of its block's channels.
_REDUCTION = 4
#: Positions that attention is computed for at once.
_QUERIES = 2048


class Drawn(NamedTuple):
    """image: float [N, 3, S, S] in (-1, 1). features: output of each layer of :func:`feature_layers`. condition: class
    embedding float [N, D]; one-hot classes where each norm layer has an embedding of its own.
    """

    image: Tensor
    features: list[Tensor]
    condition: Tensor


def feature_layers(config: BigGANConfig) -> tuple[FeatureLayer, ...]:
    """Return the layers in the order in which the network computes them: each block, then its attention."""
    layers, side = [], FIRST_SIDE
    for index, block in enumerate(config.blocks):
        side <<= block.upsample
        layers.append(FeatureLayer(f"blocks.{index}", block.out_channels, side, side))
        if index in config.attention:
            layers.append(FeatureLayer(f"attention.{index}", block.out_channels, side, side))
    return tuple(layers)


class NormedWeight(nn.Module):
    """A weight [out, ...] with an optional bias, and its spectral norm as the configuration says."""

    u: Tensor
    v: Tensor

    def __init__(self, config: BigGANConfig, shape: tuple[int, ...], bias: bool = True) -> None:
        super().__init__()
        self.kind, self.eps, self.iterations = config.spectral_norm, config.spectral_eps, config.spectral_iterations
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(shape[0])) if bias else None
        if self.kind != "none":
            self.register_buffer("u", torch.empty(shape[0]))
        if self.kind == "stored":
            self.register_buffer("v", torch.empty(self.weight[0].numel()))
        self._kept: tuple[Tensor, Tensor] | None = None  # u, and the weight that was divided with it

    def effective(self) -> Tensor:
        """Return the weight divided by its spectral norm. Of a frozen layer it is computed once for each ``u``."""
        if self.kind == "none":
            return self.weight
        if self.training or self.weight.requires_grad:
            self._kept = None
            return self._divided()
        if self._kept is None or self._kept[0] is not self.u:
            # A tensor of inference mode could not be used where gradients are taken.
            with torch.inference_mode(False), torch.no_grad():
                self._kept = self.u, self._divided()
        return self._kept[1]

    def _divided(self) -> Tensor:
        if self.kind == "stored":
            return self.weight / torch.dot(self.u, torch.mv(self.weight.flatten(1), self.v))
        return spectral_normalised(self.weight, self.u, eps=self.eps, iterations=self.iterations, update=self.training)


class Conv(NormedWeight):
    """A convolution that keeps the size of its map. shape: (out, in, k, k)."""

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Return [N, out, h, w]. outputs: compute only the first so many."""
        weight = self.effective()[:outputs]
        bias = None if self.bias is None else self.bias[:outputs]
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


class Linear(NormedWeight):
    """A linear layer. shape: (out, in)."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] → [N, out]."""
        return F.linear(x, self.effective(), self.bias)


class BatchStatistics(nn.Module):
    """Normalises channels by stored statistics, the last row of tables [rows, C]; in training mode by those of the
    batch, which :attr:`measured` keeps: (mean, biased variance), each [C].
    """

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, rows: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("mean", torch.zeros(rows, channels))
        self.register_buffer("var", torch.ones(rows, channels))
        self.measured: tuple[Tensor, Tensor] | None = None

    def normalise(self, x: Tensor) -> Tensor:
        """Return x [N, C, h, w] with the mean 0 and the variance 1 in each channel."""
        if not self.training:
            return F.batch_norm(x, self.mean[-1], self.var[-1], eps=self.eps)
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        self.measured = mean, var
        return F.batch_norm(x, None, None, training=True, eps=self.eps)


class ClassNorm(BatchStatistics):
    """Class-conditional batch norm: the gain is 1 + a function of the condition, and so is the bias."""

    def __init__(self, config: BigGANConfig, channels: int) -> None:
        super().__init__(channels, config.statistics, config.norm_eps)
        width = config.condition_width
        self.gain: nn.Module
        self.bias: nn.Module
        for name in ("gain", "bias"):
            layer = Linear(config, (channels, width), bias=False) if width else nn.Embedding(config.classes, channels)
            setattr(self, name, layer)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: [N, C, h, w]. condition: float [N, width], or class indices int64 [N]."""
        gain, bias = 1 + self.gain(condition), self.bias(condition)
        found: Tensor = self.normalise(x) * gain[:, :, None, None] + bias[:, :, None, None]
        return found


class OutputNorm(BatchStatistics):
    """Batch norm in front of the last convolution, with a gain and a bias of its own."""

    def __init__(self, config: BigGANConfig, channels: int) -> None:
        super().__init__(channels, config.statistics, config.output_norm_eps)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C, h, w]."""
        return self.normalise(x) * self.gain[:, None, None] + self.bias[:, None, None]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Block(nn.Module):
    """Residual block of BigGAN (figure 15 b): norm, ReLU, (doubling), 3x3, norm, ReLU, 3x3; the shortcut is a 1x1."""

    def __init__(self, config: BigGANConfig, shape: BlockShape) -> None:
        super().__init__()
        before, after, self.upsample = shape
        self.bn1, self.bn2 = ClassNorm(config, before), ClassNorm(config, after)
        self.conv1 = Conv(config, (after, before, 3, 3))
        self.conv2 = Conv(config, (after, after, 3, 3))
        self.conv_sc = Conv(config, (after, before, 1, 1)) if self.upsample or before != after else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[N, in, h, w] → [N, out, H, W]; condition: of :class:`ClassNorm`."""
        h = F.relu(self.bn1(x, condition))
        if self.upsample:
            h, x = _doubled(h), _doubled(x)
        h = F.relu(self.bn2(self.conv1(h), condition))
        shortcut: Tensor = x if self.conv_sc is None else self.conv_sc(x)
        found: Tensor = self.conv2(h) + shortcut
        return found


class DeepBlock(nn.Module):
    """Residual block of BigGAN-deep (figure 16 b): a bottleneck of four convolutions; the shortcut drops channels."""

    def __init__(self, config: BigGANConfig, shape: BlockShape) -> None:
        super().__init__()
        before, self.out_channels, self.upsample = shape
        inner = before // _REDUCTION
        self.bn1 = ClassNorm(config, before)
        self.bn2, self.bn3, self.bn4 = (ClassNorm(config, inner) for _ in range(3))
        self.conv1 = Conv(config, (inner, before, 1, 1))
        self.conv2, self.conv3 = (Conv(config, (inner, inner, 3, 3)) for _ in range(2))
        self.conv4 = Conv(config, (self.out_channels, inner, 1, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[N, in, h, w] → [N, out, H, W]; condition: of :class:`ClassNorm`."""
        h = F.relu(self.bn2(self.conv1(F.relu(self.bn1(x, condition))), condition))
        x = x[:, : self.out_channels]
        if self.upsample:
            h, x = _doubled(h), _doubled(x)
        h = F.relu(self.bn3(self.conv2(h), condition))
        found: Tensor = self.conv4(F.relu(self.bn4(self.conv3(h), condition)))
        return found + x


class Attention(nn.Module):
    """Self-attention (Zhang et al. 2019, SAGAN) as BigGAN has it: keys and values are max-pooled, no scale."""

    def __init__(self, config: BigGANConfig, channels: int) -> None:
        super().__init__()
        few, half = channels // 8, channels // 2
        self.theta = Conv(config, (few, channels, 1, 1), bias=False)
        self.phi = Conv(config, (few, channels, 1, 1), bias=False)
        self.g = Conv(config, (half, channels, 1, 1), bias=False)
        self.o = Conv(config, (channels, half, 1, 1), bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C, h, w]."""
        query = self.theta(x).flatten(2).mT
        key, value = (F.max_pool2d(one(x), 2).flatten(2).mT for one in (self.phi, self.g))
        # Part by part: at 128 x 128 pixels the whole matrix of one image takes 256 MiB.
        parts = (F.scaled_dot_product_attention(one, key, value, scale=1.0) for one in torch.split(query, _QUERIES, 1))
        mixed = torch.cat(list(parts), 1).mT
        found: Tensor = x + self.gamma * self.o(mixed.reshape(len(x), -1, *x.shape[2:]))
        return found


class Network(nn.Module):
    """The generator. Weights are empty until they are loaded."""

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        self.config = config
        first = config.blocks[0].in_channels
        self.shared = nn.Embedding(config.classes, config.shared_dim) if config.shared_dim else None
        self.linear = Linear(config, (first * FIRST_SIDE**2, config.first_width))
        kind = DeepBlock if config.deep else Block
        self.blocks = nn.ModuleList(kind(config, block) for block in config.blocks)
        self.attention = nn.ModuleDict(
            {str(index): Attention(config, config.blocks[index].out_channels) for index in config.attention}
        )
        self.output_norm = OutputNorm(config, config.blocks[-1].out_channels)
        self.output = Conv(config, (config.output_channels, config.blocks[-1].out_channels, 3, 3))

    def condition(self, class_index: Tensor) -> Tensor:
        """Class indices int64 [N] → class embeddings [N, shared_dim], or one-hot classes [N, classes]."""
        if self.shared is None:
            return F.one_hot(class_index, self.config.classes).float()
        embedded: Tensor = self.shared(class_index)
        return embedded

    def forward(self, z: Tensor, class_index: Tensor) -> Drawn:
        """z: float [N, z_dim]; class_index: int64 [N]."""
        embedding = self.condition(class_index)
        first, conditions = self._conditions(z, class_index, embedding)
        x = self.linear(first).reshape(len(z), -1, FIRST_SIDE, FIRST_SIDE)
        features = []
        for index, (block, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            x = block(x, condition)
            features.append(x)
            if index in self.config.attention:
                x = self.attention[str(index)](x)
                features.append(x)
        image = self.output(F.relu(self.output_norm(x)), IMAGE_CHANNELS)
        return Drawn(torch.tanh(image), features, embedding)

    def _conditions(self, z: Tensor, class_index: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the input of the first layer and the condition of each block."""
        count = len(self.blocks)
        if self.config.deep:
            both = torch.cat([embedding, z], 1)
            return both, [both] * count
        if self.config.chunked:
            first, *others = torch.split(z, self.config.chunk, 1)
            return first, [torch.cat([embedding, chunk], 1) for chunk in others]
        return z, [embedding if self.shared is not None else class_index] * count

    def norms(self) -> Iterator[tuple[str, BatchStatistics]]:
        """Yield the norm layers by name."""
        for name, module in self.named_modules():
            if isinstance(module, BatchStatistics):
                yield name, module
