"""Which pixels a task is learnt from and which it is measured on, and how much each class of them weighs."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from core.callbacks import ShouldStop
from core.errors import LabelerError, Problem
from core.labeling.config import LabelerConfig
from core.labeling.pixel_source import PixelSource
from core.labeling.targets import Target

SPLIT_STREAM = 3
"""Tells these random numbers from others of the same seed."""


class LabelledPixels:
    """The labelled pixels of a task, split into training and held-out images, with their hypercolumns at call."""

    def __init__(
        self,
        source: PixelSource,
        target: Target,
        origins: Sequence[int],
        config: LabelerConfig,
        seed: int,
        should_stop: ShouldStop,
    ) -> None:
        """``origins``: the labelled image that each code is of. An image is held out with all its codes, and measured
        on the first.
        """
        self.source, self.target, self.should_stop = source, target, should_stop
        images, first = np.unique(np.asarray(origins), return_index=True)
        order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(len(images))[: config.held_out]
        self.held_out_images = sorted(first[order].tolist())
        usable = target.usable(config).flatten(1)
        held, judged = torch.zeros(2, target.count, dtype=torch.bool)
        held[torch.from_numpy(np.isin(origins, images[order]))] = True
        judged[self.held_out_images] = True
        self.training = (usable & ~held[:, None]).flatten().nonzero()[:, 0]  # [P] flat positions, ascending
        self.held_out = (usable & judged[:, None]).flatten().nonzero()[:, 0]
        self.group_pixels = torch.zeros(target.groups, dtype=torch.long)
        if len(self.training):
            target.scale(self.training)
        for some in torch.split(self.training, 1 << 20):
            self.group_pixels += torch.bincount(target.group(target.at(some)), minlength=target.groups)
        if not len(self.training) or (target.groups > 1 and int((self.group_pixels > 0).sum()) < 2):
            few = "fewer than two classes" if target.task == "segmentation" else "nothing to learn from"
            problem = Problem(f"{few} in the images to train on", target.field)
            raise LabelerError("no label can be learned from", [problem])

    def some(self, pixels: Tensor, count: int, random: np.random.Generator) -> Tensor:
        """At most ``count`` of ``pixels``, drawn without replacement, ascending."""
        if len(pixels) <= count:
            return pixels
        return pixels[torch.from_numpy(np.sort(random.choice(len(pixels), count, replace=False)))]

    def gather(self, pixels: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
        """Transformed hypercolumns [P, K] of flat positions."""
        return self.source.gather(pixels, transform, self.should_stop)

    def group_weights(self, exponent: float) -> Tensor:
        """frequency^-exponent, zero for absent groups, of mean 1 over the pixels. Float [G]."""
        frequency = self.group_pixels / self.group_pixels.sum()
        weights = torch.where(frequency > 0, frequency.clamp_min(1e-12) ** -exponent, 0.0)
        return (weights / (weights * frequency).sum()).float()
