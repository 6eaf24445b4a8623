"""What was found in a file: tensors under their project's names, and whatever the file says about the network."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.errors import CheckpointError, Problem
from core.generators.stylegan2.config import StyleGAN2Config


@dataclass(frozen=True)
class Found:
    """A generator as its file has it, translated into our configuration and our names."""

    format: str
    network: str
    """Name of the generator inside the file; empty where it is alone."""
    config: StyleGAN2Config
    state: dict[str, Tensor]
    """float32, our names, finite, of the right shapes."""
    has_w_avg: bool = True
    noisy: bool = True
    """Whether its layers were built with noise."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else the file says, in words."""
    classes: tuple[str, ...] = ()
    """Names of the classes, where the file has them."""
    notes: tuple[str, ...] = ()
    """Assumptions about what the file does not hold, for the report."""


def check_filters(state: Mapping[str, Tensor], endings: tuple[str, ...], total: float) -> None:
    """Raise where a stored resampling filter is not the binomial one that is built in. ``total``: what it sums to."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    usual = torch.outer(taps, taps) * (total / 64)
    problems = []
    for name, tensor in state.items():
        if name.endswith(endings):
            same = tensor.shape in (usual.shape, taps.shape) and tensor.is_floating_point()
            wanted = usual if tensor.dim() == 2 else taps * (total**0.5 / 8)
            if not same or not torch.allclose(tensor.float(), wanted, atol=1e-4):
                problems.append(Problem("a filter other than [1, 3, 3, 1]; such generators are not supported", name))
    if problems:
        raise CheckpointError("this generator resamples in another way", problems)
