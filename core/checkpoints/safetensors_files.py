"""Safetensors files of other projects and of our own: tensors and metadata, within limits."""

from pathlib import Path
from typing import NamedTuple

import safetensors
import torch
from torch import Tensor

from core.checkpoints.limits import Limits, unsafe
from core.errors import CheckpointError, Problem


class SafetensorsContent(NamedTuple):
    """All tensors of a file, by name, and its metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_safetensors(path: Path, limits: Limits) -> SafetensorsContent:
    """Read a safetensors file. Raises :class:`CheckpointError` for a broken file or one that exceeds ``limits``."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - not a mapping
            needed = 4 * sum(torch.Size(shape).numel() for shape in shapes)
            if needed > limits.tensor_bytes:
                raise unsafe(f"its tensors need {needed} bytes; {limits.tensor_bytes} are allowed")
            return SafetensorsContent({name: file.get_tensor(name) for name in file.keys()}, metadata)  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, OverflowError) as error:
        raise CheckpointError("this safetensors file is broken", [Problem(str(error), path.name)]) from None
