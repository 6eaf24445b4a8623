"""Pictures as the nets of the recipes see them."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.pixels import as_tensor, to_float


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 [N, H, W, 3] → float32 [N, 3, H, W] in [-1, 1]."""
    return to_float(as_tensor(images))
