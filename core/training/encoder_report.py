"""Encoder quality: reconstruction after each iteration, in numbers and as a picture."""

from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.callbacks import ShouldStop, never_stop, stop_if_asked
from core.generators.interface import Invertible
from core.image_arrays import to_bytes, to_float
from core.inversion.code_encoder import CodeEncoder
from core.inversion.encoder import ITERATIONS, attempts
from core.inversion.perceptual.distance import Perceptual

BATCH = 8
_GAP = 2
"""Pixels of white between two pictures."""


@dataclass(frozen=True)
class IterationQuality:
    """Medians after one iteration, counted from 1."""

    iteration: int
    perceptual: float
    l2: float
    """Of images in [0, 1]."""
    psnr: float
    """dB."""
    layer_spread: float
    """Root mean square deviation of a code's layers from their mean."""


@torch.no_grad()
def reconstruction_by_iteration(
    sampler: Invertible,
    encoder: CodeEncoder,
    perceptual: Perceptual,
    images: Tensor,
    *,
    iterations: int = ITERATIONS,
    should_stop: ShouldStop = never_stop,
) -> list[IterationQuality]:
    """Return medians over images uint8 [N, 3, H, W] of the generator's size, after each iteration."""
    most = encoder.most_iterations
    count = iterations if most is None else min(iterations, most)
    found: list[dict[str, list[float]]] = [{name: [] for name in _MEASURED} for _ in range(count)]
    device = sampler.device
    for part in torch.split(images, BATCH):
        stop_if_asked(should_stop)
        target = to_float(part.to(device))
        features = perceptual.features(target)
        for entry, codes in zip(found, attempts(sampler, encoder, target, iterations), strict=True):
            drawn = sampler.image_of(codes).clamp(-1, 1)
            l2 = (drawn - target).square().mean((1, 2, 3)) / 4
            spread = (codes - codes.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
            psnr = -10 * l2.clamp(min=1e-10).log10()
            measured = (perceptual.distance(drawn, features), l2, psnr, spread)
            for name, values in zip(_MEASURED, measured, strict=True):
                entry[name] += values.tolist()
    return [
        IterationQuality(number, **{name: median(values) for name, values in entry.items()})
        for number, entry in enumerate(found, 1)
    ]


_MEASURED = ("perceptual", "l2", "psnr", "layer_spread")


@torch.no_grad()
def own_samples(sampler: Invertible, count: int, seed: int) -> Tensor:
    """Images uint8 [count, 3, H, W] of the generator's own, at full truncation, of random latents of ``seed``."""
    codes = sampler.random_rows(count, seed)[:, None].expand(-1, sampler.rows, -1)
    return torch.cat([to_bytes(sampler.image_of(part)).cpu() for part in torch.split(codes, BATCH)])


@torch.no_grad()
def attempts_picture(
    sampler: Invertible, encoder: CodeEncoder, images: Tensor, *, iterations: int = ITERATIONS
) -> NDArray[np.uint8]:
    """A row for each image uint8 [N, 3, H, W]: the image, then what each iteration draws. uint8 [rows, columns, 3]."""
    rows = []
    for image in images:
        target = to_float(image[None].to(sampler.device))
        cells = [image]
        for codes in attempts(sampler, encoder, target, iterations):
            cells.append(to_bytes(sampler.image_of(codes))[0].cpu())
        rows.append(torch.cat([torch.nn.functional.pad(cell, (0, _GAP, 0, _GAP), value=255) for cell in cells], 2))
    return np.ascontiguousarray(torch.cat(rows, 1)[:, :-_GAP, :-_GAP].permute(1, 2, 0).numpy())
