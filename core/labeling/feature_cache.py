"""Native features of many images in half precision: in memory up to a budget, beyond it in a file that is mapped.

Both hold the same 16 bits, so where features are kept changes nothing that is learnt from them.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import torch
from torch import Tensor

from core.errors import LabelerError, Problem
from core.generators.interface import FeatureLayer

LARGEST = 65504.0
"""Of float16; larger activations are cut to it."""


class KeptFeatures:
    """Features of images, added one after another and looked at in any order.

    ``layers``: channels and native sizes. ``count``: images that will come. ``memory_bytes``: up to which all of them
    stay in memory, on the device they come from; more than that go to a temporary file in ``folder`` (None: the
    system's), which is gone when this object is closed.
    """

    def __init__(
        self, layers: Sequence[FeatureLayer], count: int, memory_bytes: int, folder: Path | None = None
    ) -> None:
        self.layers = tuple(layers)
        self._image_bytes = sum(2 * layer.channels * layer.height * layer.width for layer in self.layers)
        self._count = 0
        self._memory: list[list[Tensor]] = []
        self._file: IO[bytes] | None = None
        if count * self._image_bytes > memory_bytes:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `close`)

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything, the file included."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()

    @property
    def on_disk(self) -> bool:
        """Whether they were too many for memory."""
        return self._file is not None

    def add(self, features: Sequence[Tensor]) -> None:
        """Keep the next image's features, float [C_l, h_l, w_l] each. Raises :class:`LabelerError` on a full disk."""
        halves = [x.clamp(-LARGEST, LARGEST).half().permute(1, 2, 0).contiguous() for x in features]
        if self._file is None:
            self._memory.append(halves)
        else:
            try:
                for half in halves:
                    self._file.write(half.cpu().numpy().data)
                self._file.flush()
            except OSError as error:
                raise LabelerError(
                    "the features of the labelled images cannot be kept on disk", [Problem(str(error), "features")]
                ) from error
        self._count += 1

    def of(self, image: int) -> list[Tensor]:
        """Features of one image, float16 [1, C_l, h_l, w_l] each, in channels-last memory."""
        tables = self._memory[image] if self._file is None else self._mapped(self._file, image)
        return [table.permute(2, 0, 1)[None] for table in tables]

    def _mapped(self, file: IO[bytes], image: int) -> list[Tensor]:
        # Mapped image by image, so that what was looked at before does not stay resident. Copy on write: torch wants
        # arrays that may be written.
        content = np.memmap(file, np.float16, "c", image * self._image_bytes, (self._image_bytes // 2,))
        tables, start = [], 0
        for layer in self.layers:
            stop = start + layer.channels * layer.height * layer.width
            shape = layer.height, layer.width, layer.channels
            tables.append(torch.from_numpy(content[start:stop]).view(shape))
            start = stop
        return tables
