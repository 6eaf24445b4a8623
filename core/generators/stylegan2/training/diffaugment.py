"""Differentiable augmentation (Zhao et al. 2020, section 3 and appendix A): colour, translation, cutout."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

TRANSLATION = 1 / 8
CUTOUT = 1 / 2
"""Shares of the sides."""


def augmented(x: Tensor, policy: Sequence[str]) -> Tensor:
    """Apply the parts of ``policy``, names in :data:`PARTS`, in order. x: float [N, C, H, W] in [-1, 1].

    Random numbers are torch's global ones; every image gets its own.
    """
    for part in policy:
        for transform in PARTS[part]:
            x = transform(x)
    return x


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _brightness(x: Tensor) -> Tensor:
    return x + (_uniform(x) - 0.5)


def _saturation(x: Tensor) -> Tensor:
    grey = x.mean(1, keepdim=True)
    return grey + (x - grey) * (2 * _uniform(x))


def _contrast(x: Tensor) -> Tensor:
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (_uniform(x) + 0.5)


def _translation(x: Tensor) -> Tensor:
    """Shift by up to an eighth of each side; zeros come in."""
    count, _, height, width = x.shape
    rows = _shifted(x, height)  # [N, H]: the row that each row shows
    columns = _shifted(x, width)
    inside = _inside(rows, height)[:, None, :, None] & _inside(columns, width)[:, None, None, :]
    images = torch.arange(count, device=x.device)[:, None, None]
    taken = x.permute(0, 2, 3, 1)[images, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
    return taken.permute(0, 3, 1, 2) * inside


def _shifted(x: Tensor, side: int) -> Tensor:
    most = int(side * TRANSLATION + 0.5)
    shift = torch.randint(-most, most + 1, size=[len(x), 1, 1], device=x.device).reshape(-1, 1)
    return torch.arange(side, device=x.device) + shift


def _inside(index: Tensor, side: int) -> Tensor:
    return (index >= 0) & (index < side)


def _cutout(x: Tensor) -> Tensor:
    """Blacken a window of half of each side. Its parts beyond the border are lost."""
    rows, columns = _window(x, x.shape[2]), _window(x, x.shape[3])
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _window(x: Tensor, side: int) -> Tensor:
    """Mark the rows of each image that the window covers, bool [N, side]."""
    length = int(side * CUTOUT + 0.5)
    centre = torch.randint(0, side + (1 - length % 2), size=[len(x), 1, 1], device=x.device).reshape(-1, 1)
    index = torch.arange(side, device=x.device)
    # A pixel outside falls on the border's.
    first, last = (centre - length // 2).clamp(0, side - 1), (centre - length // 2 + length - 1).clamp(0, side - 1)
    return (index >= first) & (index <= last)


PARTS: Mapping[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "color": (_brightness, _saturation, _contrast),
    "translation": (_translation,),
    "cutout": (_cutout,),
}
