"""Which perceptual distance to invert with."""

import os
from pathlib import Path
from typing import get_args

import torch

from core.errors import InversionError, Problem
from core.inversion.perceptual.distance import Perceptual
from core.inversion.perceptual.domain import load_perceptual
from core.inversion.perceptual.lpips import Net, find_weights, lpips_distance, missing_weights


def choose_perceptual(
    generator_folder: Path | None, weights_folder: Path | None, device: torch.device | str = "cpu"
) -> Perceptual:
    """The distance to invert with: LPIPS from ``weights_folder`` (vgg, else alex, else squeeze), else the generator's
    own fallback, else LPIPS from torch's cache. Raises :class:`InversionError` naming what to provide when there is
    none of them.
    """
    fallback = generator_folder is not None and (generator_folder / "perceptual.json").is_file()
    cache = Path(torch.hub.get_dir())
    for folder in (weights_folder, None if fallback else cache):
        for net in get_args(Net):
            if folder is not None and find_weights(net, folder) is not None:
                return lpips_distance(net, folder).to(device)
        if fallback and generator_folder is not None:
            return load_perceptual(generator_folder, device)
    problems = [
        Problem(
            "or give the generator its own: perceptual.json with perceptual.safetensors",
            os.fspath(generator_folder or ""),
        )
    ]
    raise InversionError(
        "no perceptual distance at hand: neither ImageNet weights for LPIPS nor the generator's own fallback",
        [missing_weights("vgg", weights_folder or cache / "checkpoints"), *problems],
    )
