"""Folders where published weights lie on this machine; without torch, so that a worker's parent process can look."""

from __future__ import annotations

import os
from pathlib import Path

from core.inversion.perceptual.weights import Net, best_weights
from store.settings import Settings


def weights_folder(settings: Settings) -> Path:
    """The folder that `offhand weights pull` fills: as set, else `offhand/weights` in the user's cache."""
    if settings.worker.weights:
        return Path(settings.worker.weights).expanduser().absolute()
    return _cache() / "offhand" / "weights"


def evaluation_folders(settings: Settings) -> tuple[Path, ...]:
    """Folders that may hold weights for evaluations, in the order in which they are searched."""
    chosen = settings.worker.evaluation_weights
    return (Path(chosen), weights_folder(settings)) if chosen else (weights_folder(settings),)


def perceptual_caches(settings: Settings) -> tuple[Path, ...]:
    """Folders that may hold ImageNet weights for LPIPS, for generators without a perceptual network of their own."""
    return weights_folder(settings), torch_cache()


def perceptual_weights(settings: Settings) -> tuple[Net, Path] | None:
    """The trunk that a generator without a perceptual network of its own is inverted with, and its file; None where
    no folder holds one.
    """
    chosen = settings.worker.perceptual_weights
    folders = ((Path(chosen),) if chosen else ()) + perceptual_caches(settings)
    return next((found for folder in folders if (found := best_weights(folder))), None)


def torch_cache() -> Path:
    """The folder where torch keeps weights that it has downloaded (``torch.hub.get_dir()``)."""
    return Path(os.environ.get("TORCH_HOME", _cache() / "torch")).expanduser() / "hub"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
