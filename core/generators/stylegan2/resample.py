"""Resampling by two with the binomial filter [1, 3, 3, 1], the only resampling StyleGAN2 does."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F


@cache
def _depthwise_fir(channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[channels, 1, 4, 4]: outer product of [1, 3, 3, 1] / 4 with itself; the sum of 4 makes up for inserted zeros."""
    # Kept from one call to the next: were it born in inference mode, a later call could not train.
    with torch.inference_mode(False):
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=device, dtype=dtype) / 4
        return torch.outer(taps, taps).expand(channels, 1, 4, 4).contiguous()


def smooth_upsampled(x: Tensor) -> Tensor:
    """Filter what a stride-2 transposed 3x3 convolution left. x [N, C, 2h+1, 2w+1] → [N, C, 2h, 2w]."""
    return F.conv2d(x, _depthwise_fir(x.shape[1], x.device, x.dtype), padding=1, groups=x.shape[1])


def upsample_image(x: Tensor) -> Tensor:
    """Insert zeros and filter. x [N, C, h, w] → [N, C, 2h, 2w]."""
    # The symmetric filter makes the transposed convolution equal to inserting zeros and correlating.
    return F.conv_transpose2d(x, _depthwise_fir(x.shape[1], x.device, x.dtype), stride=2, padding=1, groups=x.shape[1])


def binomial_filtered(x: Tensor, padding: int) -> Tensor:
    """Filter with the binomial filter of sum 1. x [N, C, h, w] → [N, C, h + 2 padding - 3, w + 2 padding - 3]."""
    fir = _depthwise_fir(x.shape[1], x.device, x.dtype) / 4
    return F.conv2d(x, fir, padding=padding, groups=x.shape[1])


def halved(x: Tensor) -> Tensor:
    """Filter with the binomial filter of sum 1, and keep every second pixel. [N, C, h, w] → [N, C, h/2, w/2]."""
    # Not a convolution with a stride: on a CPU its gradient takes ten times as long.
    return binomial_filtered(x, padding=1)[:, :, ::2, ::2]
