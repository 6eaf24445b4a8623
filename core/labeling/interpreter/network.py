"""The network of the feature interpreter (BigDatasetGAN section 3.2, figure 3): feature maps → logits of every head.

Feature layers are joined in groups of low, middle and high resolution. Each group is reduced by a 1x1 convolution; from
the second on it is concatenated to what came before, doubled to its size, and mixed by a residual block that is
conditioned on the class embedding. Written from the paper and from outputs of the released code.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.generators.interface import FeatureLayer
from core.labeling.interpreter.config import InterpreterConfig
from core.spectral_norm import spectral_normalised

_EPS, _OUTPUT_EPS, _MOMENTUM = 1e-4, 1e-5, 0.1
#: Layers up to this share of the largest side are of low, and of middle resolution.
_LOW, _MIDDLE = 16, 4


class FeatureGroup(NamedTuple):
    """Feature layers that are joined: their places among all layers, the sum of their channels, and the size (height,
    width) that they are brought to, which is that of the largest.
    """

    places: tuple[int, ...]
    channels: int
    size: tuple[int, int]


def feature_groups(layers: Sequence[FeatureLayer]) -> tuple[FeatureGroup, ...]:
    """Return up to three groups of layers, coarse to fine: sides up to a sixteenth of the largest, up to a quarter, and
    the others (of 512 pixels: 8 to 32, 64 and 128, 256 and 512). Where one of them is empty, sides are split evenly.
    """
    sides = sorted({layer.group for layer in layers})
    top = sides[-1]
    parts = [
        [side for side in sides if side * _LOW <= top],
        [side for side in sides if side * _LOW > top >= side * _MIDDLE],
        [side for side in sides if side * _MIDDLE > top],
    ]
    if not all(parts):
        parts = [part.tolist() for part in np.array_split(np.array(sides), min(3, len(sides)))]
    groups = []
    for part in parts:
        places = tuple(at for at, layer in enumerate(layers) if layer.group in part)
        largest = max((layers[at] for at in places), key=lambda layer: layer.group)
        channels = sum(layers[at].channels for at in places)
        groups.append(FeatureGroup(places, channels, (largest.height, largest.width)))
    return tuple(groups)


class Normalised(nn.Module):
    """A convolution or, without a side, a linear layer whose weight is spectrally normalised, with a bias."""

    u: Tensor

    def __init__(self, outputs: int, inputs: int, side: int = 0) -> None:
        super().__init__()
        like = nn.Conv2d(inputs, outputs, side) if side else nn.Linear(inputs, outputs)
        self.weight, self.bias = nn.Parameter(like.weight.detach()), nn.Parameter(_given(like.bias))
        self.register_buffer("u", torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, h, w] → [N, out, h, w], or [N, in] → [N, out]."""
        weight = spectral_normalised(self.weight, self.u, eps=_EPS, update=self.training)
        if weight.dim() == 2:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


def _given(bias: Tensor | None) -> Tensor:
    assert bias is not None
    return bias.detach()


class RunningNorm(nn.Module):
    """Batch norm with running statistics, without gain and bias."""

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def normalise(self, x: Tensor) -> Tensor:
        """Return x [N, C, h, w] with mean 0 and variance 1 in each channel."""
        return F.batch_norm(x, self.mean, self.var, None, None, self.training, _MOMENTUM, self.eps)


class AffineNorm(RunningNorm):
    """Batch norm with a gain and a bias for each channel."""

    def __init__(self, channels: int, eps: float = _OUTPUT_EPS) -> None:
        super().__init__(channels, eps)
        self.gain, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:  # noqa: ARG002 - as ConditionalNorm
        """Return [N, C, h, w]."""
        return self.normalise(x) * self.gain[:, None, None] + self.bias[:, None, None]


class ConditionalNorm(RunningNorm):
    """Batch norm whose gain is 1 + a linear function of the class embedding, and whose bias is one."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__(channels, _EPS)
        self.gain, self.bias = Normalised(channels, condition_dim), Normalised(channels, condition_dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: [N, C, h, w]; condition: [N, condition_dim]."""
        gain, bias = 1 + self.gain(condition), self.bias(condition)
        found: Tensor = self.normalise(x) * gain[:, :, None, None] + bias[:, :, None, None]
        return found


class Mix(nn.Module):
    """Residual block: norm, ReLU, 3x3, norm, ReLU, 3x3, with an identity shortcut."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = (
            ConditionalNorm(channels, condition_dim) if condition_dim else AffineNorm(channels, _EPS) for _ in range(2)
        )
        self.conv1, self.conv2 = (Normalised(channels, channels, 3) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """[N, C, h, w] → [N, C, h, w]."""
        h = self.conv1(F.relu(self.bn1(x, condition)))
        found: Tensor = self.conv2(F.relu(self.bn2(h, condition))) + x
        return found


class Interpreter(nn.Module):
    """Feature maps of a generator → logits. outputs: 1 for foreground against background, else the classes."""

    def __init__(
        self, layers: Sequence[FeatureLayer], condition_dim: int, outputs: int, config: InterpreterConfig
    ) -> None:
        super().__init__()
        self.groups = feature_groups(layers)
        self.outputs = outputs
        widths = config.widths[3 - len(self.groups) :]
        pairs = zip(self.groups, widths, strict=True)
        self.reduce = nn.ModuleList(nn.Conv2d(group.channels, width, 1, bias=False) for group, width in pairs)
        sums = [sum(widths[: at + 1]) for at in range(len(widths))]
        self.mix = nn.ModuleList(Mix(channels, condition_dim) for channels in sums[1:])
        self.norm = AffineNorm(sums[-1])
        side = 3 if config.head == "released" else 1
        self.heads = nn.ModuleList(Normalised(outputs, sums[-1], side) for _ in range(config.heads))

    def grouped(self, features: Sequence[Tensor]) -> list[Tensor]:
        """All features of a synthesis → one map a group, [N, channels, H, W] each, resized bilinearly inside it."""
        return [
            torch.cat([_resized(features[place].float(), group.size) for place in group.places], 1)
            for group in self.groups
        ]

    def trunk(self, features: Sequence[Tensor], condition: Tensor | None) -> Tensor:
        """Return what the heads read, [N, sum of the widths, H, W]."""
        first, *others = [reduce(one) for reduce, one in zip(self.reduce, self.grouped(features), strict=True)]
        x: Tensor = first
        for mix, one in zip(self.mix, others, strict=True):
            x = mix(torch.cat([_resized(x, (one.shape[2], one.shape[3])), one], 1), condition)
        return F.relu(self.norm(x))

    def forward(self, features: Sequence[Tensor], condition: Tensor | None) -> Tensor:
        """Features of a synthesis, [N, C, h, w] each, and condition [N, D] or None → [heads, N, outputs, H, W]."""
        x = self.trunk(features, condition)
        return torch.stack([head(x) for head in self.heads])


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def interpreter_loss(logits: Tensor, masks: Tensor, ignore_index: int) -> Tensor:
    """Return the sum over the heads of their mean loss: binary cross-entropy of one output, cross-entropy of several.

    logits: [heads, N, outputs, H, W]. masks: int64 [N, H, W], ignored pixels apart.
    """
    if logits.shape[2] > 1:
        losses = [F.cross_entropy(one, masks, ignore_index=ignore_index) for one in logits]
        return torch.stack(losses).sum()
    used = masks != ignore_index
    truth = (masks[used] > 0).float()
    return torch.stack([F.binary_cross_entropy_with_logits(one[:, 0][used], truth) for one in logits]).sum()


def probabilities(logits: Tensor) -> Tensor:
    """Return each head's distribution over the classes: logits [heads, P, outputs] → [heads, P, classes]."""
    if logits.shape[2] > 1:
        return logits.softmax(-1)
    foreground = logits.sigmoid()
    return torch.cat([1 - foreground, foreground], -1)
