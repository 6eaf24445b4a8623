"""Which ImageNet weights for LPIPS this worker has; without torch, so that its parent process can look."""

from __future__ import annotations

import os
from pathlib import Path

from core.inversion.perceptual.weights import Net, best_weights
from store.settings import Settings


def perceptual_weights(settings: Settings) -> tuple[Net, Path] | None:
    """The trunk that a generator without a perceptual network of its own is inverted with, and its file; None where
    the folder of the settings and torch's cache hold none.
    """
    folder = settings.worker.perceptual_weights
    return best_weights(Path(folder) if folder else None) or best_weights(torch_cache())


def torch_cache() -> Path:
    """The folder where torch keeps weights that it has downloaded (``torch.hub.get_dir()``)."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))).expanduser() / "hub"
