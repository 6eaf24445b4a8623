"""Which perceptual distance to invert with."""

from collections.abc import Sequence
from pathlib import Path

import torch

from contracts.perceptual import HOW_TO_PROVIDE, SMALLEST_LPIPS_IMAGE, TOO_SMALL
from core.errors import InversionError, Problem
from core.inversion.perceptual.distance import Perceptual
from core.inversion.perceptual.domain import load_perceptual
from core.inversion.perceptual.lpips import lpips_distance
from core.inversion.perceptual.weights import best_weights


def choose_perceptual(
    generator_folder: Path | None,
    weights_folder: Path | None,
    device: torch.device | str = "cpu",
    size: tuple[int, int] | None = None,
    caches: Sequence[Path] | None = None,
) -> Perceptual:
    """The distance to invert with: LPIPS from ``weights_folder`` (vgg, else alex, else squeeze), else the generator's
    own network, else LPIPS from the first of ``caches`` that has weights; None for torch's cache. ``size``: (height,
    width) of the generator's images; below 32 pixels LPIPS cannot be computed and the generator's own network alone is
    chosen.

    Raises :class:`InversionError` naming what to provide when there is none of them.
    """
    fits = size is None or min(size) >= SMALLEST_LPIPS_IMAGE
    if fits and (chosen := best_weights(weights_folder)):
        return lpips_distance(*chosen).to(device)
    if generator_folder is not None and (generator_folder / "perceptual.json").is_file():
        return load_perceptual(generator_folder, device)
    if not fits:
        raise InversionError(
            "the generator has no perceptual network of its own", [Problem(TOO_SMALL, "perceptual.json")]
        )
    for cache in [Path(torch.hub.get_dir())] if caches is None else caches:
        if cached := best_weights(cache):
            return lpips_distance(*cached).to(device)
    raise InversionError(
        "this worker has no ImageNet weights for LPIPS, and the generator has no perceptual network of its own",
        [
            Problem(HOW_TO_PROVIDE, "vgg16-397923af.pth"),
            Problem("or a generator that has perceptual.json and perceptual.safetensors", "perceptual.json"),
        ],
    )
