"""What codes of every world share: thumbnails in them, and the network that reads them."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

THUMBNAIL = 8
"""Edge of the thumbnail in a code, pixels."""
SCALE = 2.0
"""Of the reader's last layer: w has about unit variance at the start."""


def thumbnails(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Planes [N, 2 · THUMBNAIL, 2 · THUMBNAIL, C], averaged 2 × 2: [N, C · THUMBNAIL²], rows first."""
    count, channels = len(planes), planes.shape[3]
    cells = planes.reshape(count, THUMBNAIL, 2, THUMBNAIL, 2, channels).mean(axis=(2, 4))
    thumbnails: NDArray[np.float32] = cells.reshape(count, -1)
    return thumbnails


class CodeReader(nn.Sequential):
    """Code [N, code_size] → w [N, w_dim]; stands in for the mapping network while the synthesis network learns."""

    def __init__(self, code_size: int, w_dim: int, width: int = 384) -> None:
        super().__init__(
            nn.Linear(code_size, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2),
            nn.Linear(width, w_dim),
        )  # fmt: skip

    def forward(self, codes: Tensor) -> Tensor:
        """Codes → w."""
        w: Tensor = SCALE * super().forward(codes)  # type: ignore[no-untyped-call]
        return w
