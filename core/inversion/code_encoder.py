"""Contract of encoders: target and current reconstruction → correction of the code."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from core.generators.interface import Invertible


class CodeEncoder(nn.Module, ABC):
    """A network that predicts codes from images, in one pass or by corrections of its last attempt."""

    most_iterations: int | None = None
    """Passes that it is made for; None for any number."""

    @property
    @abstractmethod
    def code_shape(self) -> tuple[int, int]:
        """(rows, width) of its codes."""

    def start(self, sampler: Invertible) -> Tensor:
        """Return the code that the first correction is added to, float [rows, width]."""
        return sampler.centre.expand(self.code_shape[0], -1)

    @abstractmethod
    def correction(self, target: Tensor, current: Tensor) -> Tensor:
        """Correction of the code, float [N, rows, width]; target, current: float [N, 3, H, W] in [-1, 1], any sizes."""

    @torch.no_grad()
    def first_image(self, sampler: Invertible) -> Tensor:
        """Return the image of :meth:`start`, float [1, 3, H, W]: the first attempt at every image."""
        return sampler.image_of(self.start(sampler)[None])
