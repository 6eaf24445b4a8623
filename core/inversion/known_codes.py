"""Images whose codes are known, since the generator drew them: nothing is inverted, and everything is checked."""

from collections.abc import Sequence

import torch
from torch import Tensor

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked
from core.errors import InversionError, Problem
from core.generators.stylegan2.network import Network
from core.image_arrays import to_bytes, to_float
from core.inversion.config import InversionConfig
from core.inversion.objective import Objective
from core.inversion.perceptual.distance import Perceptual
from core.inversion.report import InversionReport, InvertedImage

START = "sample"
_BATCH = 8


@torch.no_grad()
def known_codes(
    generator: Network,
    images: Tensor,
    w_plus: Tensor,
    names: Sequence[str],
    *,
    perceptual: Perceptual,
    config: InversionConfig,
    device: torch.device | str = "cpu",
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> list[InvertedImage]:
    """Take the codes of samples as the inversion of what was kept of their images.

    images: uint8 [N, 3, H, W] of the generator's size, as they came back. w_plus: float [N, num_ws, w_dim] that drew
    them. Raises :class:`InversionError` naming every image that is not what its code draws (``config.poor_psnr``).
    """
    objective = Objective.of(generator, perceptual, config).exact
    found: list[InvertedImage] = []
    for first in range(0, len(images), _BATCH):
        stop_if_asked(should_stop)
        codes = w_plus[first : first + _BATCH].to(device, torch.float32)
        target = to_float(images[first : first + _BATCH].to(device))
        drawn = objective.draw(codes).clamp(-1, 1)
        distance, l2 = objective.image_losses(drawn, target, objective.features(target))
        # Equal images are told apart from nearly equal ones no further than this.
        psnr = -10 * l2.clamp(min=1e-10).log10()
        spread = (codes - codes.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
        for row in range(len(codes)):
            report = InversionReport(
                perceptual_name=perceptual.name,
                start=START,
                start_perceptual=float(distance[row]),
                start_psnr=float(psnr[row]),
                perceptual=float(distance[row]),
                l2=float(l2[row]),
                psnr=float(psnr[row]),
                fitted_noise_psnr=None,
                norm_name=config.norm,
                norm=0.0,
                radius=None,
                layer_spread=float(spread[row]),
                steps=0,
                flags=(),
            )
            found.append(InvertedImage(codes[row].cpu().clone(), to_bytes(drawn[row : row + 1])[0].cpu(), report))
        progress(len(found), len(images))
    others = [
        Problem(f"is not the sample of this name: PSNR {one.report.psnr:.1f} dB to it", name)
        for name, one in zip(names, found, strict=True)
        if one.report.psnr < config.poor_psnr
    ]
    if others:
        raise InversionError("labelled images must be the samples that they are named after", others)
    return found
