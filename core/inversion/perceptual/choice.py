"""Which perceptual distance to invert with."""

from pathlib import Path

import torch

from contracts.perceptual import HOW_TO_PROVIDE
from core.errors import InversionError, Problem
from core.inversion.perceptual.distance import Perceptual
from core.inversion.perceptual.domain import load_perceptual
from core.inversion.perceptual.lpips import lpips_distance
from core.inversion.perceptual.weights import best_weights


def choose_perceptual(
    generator_folder: Path | None, weights_folder: Path | None, device: torch.device | str = "cpu"
) -> Perceptual:
    """The distance to invert with: LPIPS from ``weights_folder`` (vgg, else alex, else squeeze), else the generator's
    own fallback, else LPIPS from torch's cache. Raises :class:`InversionError` naming what to provide when there is
    none of them.
    """
    if chosen := best_weights(weights_folder):
        return lpips_distance(*chosen).to(device)
    if generator_folder is not None and (generator_folder / "perceptual.json").is_file():
        return load_perceptual(generator_folder, device)
    if cached := best_weights(Path(torch.hub.get_dir())):
        return lpips_distance(*cached).to(device)
    raise InversionError(
        "this worker has no ImageNet weights for LPIPS, and the generator has no perceptual network of its own",
        [
            Problem(HOW_TO_PROVIDE, "vgg16-397923af.pth"),
            Problem("or a generator that has perceptual.json and perceptual.safetensors", "perceptual.json"),
        ],
    )
