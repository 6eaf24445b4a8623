"""Backbones of published encoders, with their names of tensors: IR-SE50 and a ResNet-34 without max-pooling.

Both reduce 256 pixels to 64, 32 and 16 at the ends of their second, third and fourth stage.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

IR_UNITS, RESNET_UNITS = (3, 4, 14, 3), (3, 4, 6, 3)
"""Units of each stage."""


def stage_ends(units: Sequence[int]) -> tuple[int, ...]:
    """Return the index of the last unit of each stage."""
    return tuple(sum(units[: stage + 1]) - 1 for stage in range(len(units)))


def _units(units: Sequence[int], widths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (inputs, outputs, index within the stage) of each unit; widths: of the stem and of each stage."""
    for count, (inputs, outputs) in zip(units, pairwise(widths), strict=True):
        yield from ((inputs if index == 0 else outputs, outputs, index) for index in range(count))


class SqueezeExcitation(nn.Module):
    """x weighted by channel: sigmoid(fc2(relu(fc1(mean(x)))))."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] → the same shape."""
        weight: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * weight.sigmoid()


class ImprovedUnit(nn.Module):
    """Residual unit of IR-SE50 (Deng et al. 2019, ArcFace): the sum has no activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, hidden: int) -> None:
        super().__init__()
        self.stride = stride
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcitation(outputs, hidden),
        )
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] → [N, C', h / stride, w / stride]."""
        pooled = x[:, :, :: self.stride, :: self.stride]  # max-pooling of single pixels
        shortcut = self.shortcut_layer(x) if hasattr(self, "shortcut_layer") else pooled
        total: Tensor = self.res_layer(x) + shortcut
        return total


class BasicBlock(nn.Module):
    """Residual block of ResNet-34 (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] → [N, C', h / stride, w / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class ImprovedResNet(nn.Module):
    """IR-SE50; ``widths``: of the stem and of the four stages, ``hidden``: of the squeeze of each stage."""

    units = IR_UNITS

    def __init__(self, channels: int, widths: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        squeezes = [hidden[stage] for stage, count in enumerate(self.units) for _ in range(count)]
        self.body = nn.Sequential(
            *(
                ImprovedUnit(inputs, outputs, 2 if index == 0 else 1, squeeze)
                for (inputs, outputs, index), squeeze in zip(_units(self.units, widths), squeezes, strict=True)
            )
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """x [N, channels, H, W] → maps at the ends of stages 2, 3 and 4, the finest first."""
        return _ends(self.body, self.input_layer(x), self.units)


class ResNet34(nn.Module):
    """ResNet-34 without max-pooling, with a PReLU after the stem; ``widths``: of the stem and of the four stages."""

    units = RESNET_UNITS

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.PReLU(widths[0])
        stages = [stage for stage, count in enumerate(self.units) for _ in range(count)]
        self.body = nn.Sequential(
            *(
                BasicBlock(inputs, outputs, 2 if index == 0 and stage > 0 else 1)
                for (inputs, outputs, index), stage in zip(_units(self.units, widths), stages, strict=True)
            )
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """x [N, channels, H, W] → maps at the ends of stages 2, 3 and 4, the finest first."""
        return _ends(self.body, self.relu(self.bn1(self.conv1(x))), self.units)


def _ends(body: nn.Sequential, x: Tensor, units: Sequence[int]) -> list[Tensor]:
    ends, found = stage_ends(units)[1:], []
    for index, unit in enumerate(body):
        x = unit(x)
        if index in ends:
            found.append(x)
    return found
