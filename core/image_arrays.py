"""Images as bytes and as the numbers that networks see."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 array [N, H, W, 3] → uint8 tensor [N, 3, H, W] of the same bytes."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def to_float(images: Tensor) -> Tensor:
    """uint8 [N, C, H, W] → float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Float [N, C, H, W], nominal range [-1, 1] → uint8, clamped and rounded. The inverse of :func:`to_float`."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def pictures(images: Tensor) -> Tensor:
    """Float [N, C, H, W], nominal range [-1, 1] → uint8 [N, H, W, 3]: grey is repeated, alpha is left out."""
    return as_pictures(to_bytes(images))


def as_pictures(drawn: Tensor) -> Tensor:
    """uint8 [N, C, H, W] → uint8 [N, H, W, 3]: grey is repeated, alpha is left out."""
    drawn = drawn.expand(-1, 3, -1, -1) if drawn.shape[1] == 1 else drawn[:, :3]
    return drawn.permute(0, 2, 3, 1).contiguous()
