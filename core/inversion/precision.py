"""What networks compute with while codes are sought or an encoder learns; what they answer is float32 either way."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.generators.interface import Invertible
from core.inversion.config import Precision
from core.inversion.perceptual.distance import Features, Perceptual


def uses_bfloat16(precision: Precision, device: torch.device) -> bool:
    """``auto``: where the device has instructions for it, so that it is faster with them and not slower."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def image_of(sampler: Invertible, codes: Tensor, maps: Sequence[Tensor], bfloat16: bool) -> Tensor:
    """Codes [N, rows, width] → images float [N, 3, H, W], not clamped."""
    with torch.autocast(codes.device.type, torch.bfloat16, enabled=bfloat16):
        image = sampler.image_of(codes, maps)
    return image.float()


def features_of(perceptual: Perceptual, images: Tensor, bfloat16: bool) -> Features:
    """Perceptual features, float, of images float [N, 3, h, w] in [-1, 1]."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
        taps = perceptual.features(images)
    return tuple(tap.float() for tap in taps)
