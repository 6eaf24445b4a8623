"""Transfer learning from a trunk pretrained without labels on generated images: baselines of the papers' claims.

``from_scratch``    a fresh net on the labelled images, with augmentation
``head_only``       a pretrained trunk kept frozen, the rest learnt
``fine_tuned``      the same start, all of it learnt

The trunk learns to take noise and blanks away from generated images. Evaluations of datasets have no such arm: there it
would depend on the dataset under test.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import LabelledImages, Targets
from core.evaluation.downstream.networks import DownstreamNet
from core.evaluation.downstream.training import Start, Trained, train_downstream
from core.run import Run

Baseline = Literal["from_scratch", "head_only", "fine_tuned"]
_STREAM = 41


@dataclass(frozen=True)
class Pretrained:
    """Where transfer starts. ``name`` states what it is, in words."""

    name: str
    network: DownstreamNet


class DenoisingImages:
    """Unlabelled images as a task: noise and blank squares on the way in, the clean image as the target."""

    def __init__(self, images: LabelledImages, noise: float = 0.25, squares: int = 4, seed: int = 0) -> None:
        self._images, self._noise, self._squares, self._seed = images, noise, squares, seed

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        """Spoilt uint8 [B, H, W, 3] and clean float32 [B, 3, H, W] in [-1, 1]; the same indices give the same."""
        clean, _ = self._images.take(indices)
        random = np.random.default_rng([self._seed, _STREAM, *(int(one) for one in indices)])
        spoilt = clean + 255 * self._noise * random.standard_normal(clean.shape, np.float32)
        side = max(1, clean.shape[1] // 6)
        for image in spoilt:
            for _ in range(self._squares):
                top, left = (int(random.integers(0, max(1, size - side))) for size in clean.shape[1:3])
                image[top : top + side, left : left + side] = 127.5
        target = (clean.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)
        return spoilt.clip(0, 255).round().astype(np.uint8), target


def pretrain_on(
    images: LabelledImages,
    config: DownstreamConfig,
    run: Run,
) -> Pretrained:
    """Train a trunk on the images' domain without labels."""
    recipe = replace(config, augment="none", mirrored=(), validate_every=0)
    trained = train_downstream(DenoisingImages(images), 3, recipe, run=run)
    return Pretrained(f"denoising of {len(images)} generated images", trained.network)


def train_baseline(
    name: Baseline,
    images: LabelledImages,
    class_count: int,
    config: DownstreamConfig,
    *,
    run: Run,
    pretrained: Pretrained | None = None,
    **settings: Any,
) -> Trained:
    """Train one arm. All but ``from_scratch`` need ``pretrained``. ``settings`` are those of
    :func:`core.evaluation.downstream.training.train_downstream`.
    """
    start = None
    if name != "from_scratch":
        assert pretrained is not None
        start = Start(network=pretrained.network, freeze_trunk=name == "head_only")
    return train_downstream(images, class_count, config, run=run, start=start, **settings)
