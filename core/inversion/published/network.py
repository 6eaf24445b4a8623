"""Published encoders: ReStyle (Alaluf et al. 2021), pSp (Richardson et al. 2021), e4e (Tov et al. 2021).

=================  ====================================================================  ======================
layout             heads read                                                            codes
=================  ====================================================================  ======================
``restyle``        the map of 16 pixels; target and last attempt go in                   corrections, 5 passes
``single``         maps of 16, 32 and 64 pixels, joined from coarse to fine (pSp, e4e)   one pass
=================  ====================================================================  ======================

Rows of ``e4e`` heads are one shared row and an offset for each further one; those of ``psp`` are independent.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import InversionError, Problem
from core.generators.interface import Invertible
from core.inversion.code_encoder import CodeEncoder
from core.inversion.published.backbones import ImprovedResNet, ResNet34

Backbone = Literal["ir_se50", "resnet34"]
Heads = Literal["e4e", "psp"]
RESTYLE_ITERATIONS = 5
SIZE = 256
"""Pixels of a side that images are brought to."""
START_CODE = "start_code"
"""Name of the code to start from among the tensors."""
COARSE, MIDDLE = 3, 7
"""The first heads read the coarsest map, those up to MIDDLE the one between, all others the finest."""


@dataclass(frozen=True)
class PublishedConfig:
    """Shape of a published encoder, as its tensors show it.

    widths: channels of the stem and of the four stages. squeezes: hidden channels of the squeeze of each stage, empty
    for ResNet-34. pyramid: whether finer maps are joined and read. crop: rows (first, last + 1) of the 256 pixels that
    it sees, as the encoders for cars do; None for all.
    """

    backbone: Backbone
    heads: Heads
    rows: int
    width: int
    widths: tuple[int, ...]
    squeezes: tuple[int, ...] = ()
    iterative: bool = True
    pyramid: bool = False
    crop: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("widths", "squeezes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.crop is not None:
            object.__setattr__(self, "crop", tuple(self.crop))
        problems = []
        if self.backbone not in get_args(Backbone):
            problems.append(Problem(f"expected one of {', '.join(get_args(Backbone))}", "backbone"))
        if self.heads not in get_args(Heads):
            problems.append(Problem(f"expected one of {', '.join(get_args(Heads))}", "heads"))
        if len(self.widths) != 5 or len(self.squeezes) not in (0, 4):
            problems.append(Problem("expected the widths of the stem and of four stages", "widths"))
        if problems:
            raise InversionError("invalid published encoder", problems)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) that the network sees."""
        return (SIZE, SIZE) if self.crop is None else (self.crop[1] - self.crop[0], SIZE)


class EqualLinear(nn.Module):
    """Linear layer whose stored weights are divided by the root of the number of inputs when they are used."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C] → [N, C]."""
        return F.linear(x, self.weight / x.shape[1] ** 0.5, self.bias)


class StyleHead(nn.Module):
    """A map [N, C, h, w] to one row [N, width]: convolutions of stride 2 until one pixel is left."""

    def __init__(self, inputs: int, width: int, halvings: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise([inputs, *[width] * halvings]):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(width)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] → [N, width]."""
        row: Tensor = self.linear(self.convs(x).flatten(1))
        return row


class PublishedEncoder(CodeEncoder):
    """A published encoder; ``start_code``: float [rows, width] of its file, or None for the generator's mean code."""

    start_code: Tensor | None

    def __init__(self, config: PublishedConfig, start_code: Tensor | None) -> None:
        super().__init__()
        self.config = config
        self.most_iterations = None if config.iterative else 1
        channels = 6 if config.iterative else 3
        if config.backbone == "ir_se50":
            self.backbone: nn.Module = ImprovedResNet(channels, config.widths, config.squeezes)
        else:
            self.backbone = ResNet34(channels, config.widths)
        finest, middle, coarse = config.widths[2:]
        self.styles = nn.ModuleList(StyleHead(coarse, config.width, 4 + self._level(row)) for row in range(config.rows))
        if config.pyramid:
            self.latlayer1 = nn.Conv2d(middle, coarse, 1)
            self.latlayer2 = nn.Conv2d(finest, coarse, 1)
        self.register_buffer("start_code", start_code)

    @property
    def code_shape(self) -> tuple[int, int]:
        """As :attr:`CodeEncoder.code_shape`."""
        return self.config.rows, self.config.width

    def start(self, sampler: Invertible) -> Tensor:
        """As :meth:`CodeEncoder.start`."""
        return super().start(sampler) if self.start_code is None else self.start_code

    def correction(self, target: Tensor, current: Tensor) -> Tensor:
        """As :meth:`CodeEncoder.correction`."""
        seen = self._seen(target)
        return self.rows_of(torch.cat([seen, self._seen(current)], 1) if self.config.iterative else seen)

    def rows_of(self, x: Tensor) -> Tensor:
        """Network input float [N, 3 or 6, h, w] → rows [N, rows, width], without the code to start from."""
        finest, middle, coarse = self.backbone(x)
        maps = [coarse]
        if self.config.pyramid:
            maps.append(_joined(coarse, self.latlayer1(middle)))
            maps.append(_joined(maps[1], self.latlayer2(finest)))
        rows = torch.stack([head(maps[self._level(row)]) for row, head in enumerate(self.styles)], 1)
        if self.config.heads == "psp":
            return rows
        return torch.cat([rows[:, :1], rows[:, :1] + rows[:, 1:]], 1)

    def _level(self, row: int) -> int:
        """Return which map a row's head reads: 0 is the coarsest."""
        if not self.config.pyramid:
            return 0
        return 0 if row < COARSE else 1 if row < MIDDLE else 2

    def _seen(self, images: Tensor) -> Tensor:
        """Bring images [N, 3, H, W] to the size that the network sees."""
        if images.shape[2:] == self.config.image_size:
            return images
        whole = images if images.shape[2:] == (SIZE, SIZE) else F.adaptive_avg_pool2d(images, SIZE)
        return whole if self.config.crop is None else whole[:, :, slice(*self.config.crop)]


def published_encoder(config: PublishedConfig, tensors: dict[str, Tensor]) -> PublishedEncoder:
    """Return an encoder of these tensors, all of which it must have. Raises RuntimeError for other ones."""
    start = tensors.get(START_CODE)
    if start is not None and tuple(start.shape) != (config.rows, config.width):
        raise RuntimeError(f"expected a code [{config.rows}, {config.width}] to start from, found {list(start.shape)}")
    with torch.device("meta"):
        encoder = PublishedEncoder(config, start)
    encoder.load_state_dict(tensors, assign=True)
    return encoder.eval().requires_grad_(False)


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    larger: Any = F.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=True)
    joined: Tensor = larger + fine
    return joined
