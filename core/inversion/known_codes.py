"""Images whose codes need no search: drawn samples, and photographs that the family's own encoder turns into codes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import InversionError, Problem
from core.generators.interface import Codes, Encodes, Invertible, Sampler
from core.image_arrays import to_bytes, to_float
from core.inversion.config import InversionConfig
from core.inversion.perceptual.distance import Perceptual
from core.inversion.report import InversionReport, InvertedImage, flags
from core.run import Run

START, ENCODER = "sample", "encoder"
NO_DISTANCE = "none"
"""``perceptual_name`` of a report without a perceptual distance."""
_BATCH = 8


@torch.no_grad()
def known_codes(
    sampler: Sampler,
    images: Tensor,
    codes: Codes,
    names: Sequence[str],
    *,
    perceptual: Perceptual | None,
    config: InversionConfig,
    run: Run | None = None,
) -> list[InvertedImage]:
    """Return the codes of drawn samples as the inversion of their stored images.

    images: uint8 [N, C, H, W] of the generator's size. codes: N codes that drew them. perceptual: None for a generator
    without a perceptual distance; reports then hold squared errors only. Raises :class:`InversionError` that names
    every image that differs from what its code draws (``config.poor_psnr``).
    """
    found = _reconstructed(sampler, images, codes, START, perceptual, config, run or Run())
    others = [
        Problem(f"is not the sample of this name: PSNR {one.report.psnr:.1f} dB to it", name)
        for name, one in zip(names, found, strict=True)
        if one.report.psnr < config.poor_psnr
    ]
    if others:
        raise InversionError("labelled images must be the samples that they are named after", others)
    return found


@torch.no_grad()
def encoded_codes(
    sampler: Encodes,
    images: Tensor,
    class_index: Sequence[int] | None = None,
    *,
    perceptual: Perceptual | None,
    config: InversionConfig,
    run: Run | None = None,
) -> list[InvertedImage]:
    """Return the codes of photographs by the family's own encoder, with a report of each reconstruction.

    images: uint8 [N, C, H, W] of the generator's size. class_index: one for each image where codes need a class.
    """
    run, found = run or Run(), []
    for first in range(0, len(images), _BATCH):
        run.stop_if_asked()
        some = to_float(images[first : first + _BATCH].to(sampler.device))
        found.append(sampler.encode(some, None if class_index is None else class_index[first : first + _BATCH]))
    return _reconstructed(sampler, images, Codes.cat(found), ENCODER, perceptual, config, run)


def _reconstructed(
    sampler: Sampler,
    images: Tensor,
    codes: Codes,
    start: str,
    perceptual: Perceptual | None,
    config: InversionConfig,
    run: Run,
) -> list[InvertedImage]:
    """Draw codes and compare the pictures with the images."""
    found: list[InvertedImage] = []
    for first in range(0, len(images), _BATCH):
        run.stop_if_asked()
        some = codes[first : first + _BATCH]
        target = to_float(images[first : first + _BATCH].to(sampler.device))
        drawn = sampler.synthesize(some.to(sampler.device)).image.clamp(-1, 1)
        l2 = (drawn - target).square().mean((1, 2, 3)) / 4  # of images in [0, 1]
        distance = (
            torch.zeros_like(l2) if perceptual is None else perceptual.distance(drawn, perceptual.features(target))
        )
        # Equal images differ from nearly equal ones by no more than this.
        psnr = -10 * l2.clamp(min=1e-10).log10()
        spread = row_spread(sampler, some)
        for row in range(len(some)):
            report = InversionReport(
                perceptual_name=NO_DISTANCE if perceptual is None else perceptual.name,
                start=start,
                start_perceptual=float(distance[row]),
                start_psnr=float(psnr[row]),
                perceptual=float(distance[row]),
                l2=float(l2[row]),
                psnr=float(psnr[row]),
                fitted_noise_psnr=None,
                norm_name=config.norm,
                norm=0.0,
                radius=None,
                layer_spread=spread[row],
                steps=0,
                flags=flags(float(distance[row]), float(psnr[row]), config),
            )
            reconstruction = to_bytes(drawn[row : row + 1])[0].cpu()
            found.append(InvertedImage(some[row : row + 1].to("cpu"), reconstruction, report))
        run.progress(len(found), len(images))
    return found


def row_spread(sampler: Sampler, codes: Codes) -> list[float]:
    """Return the root mean square deviation of each code's rows from their mean; 0 where codes have no rows."""
    if not isinstance(sampler, Invertible):
        return [0.0] * len(codes)
    free = sampler.free_part(codes)
    return [float(one) for one in (free - free.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()]
