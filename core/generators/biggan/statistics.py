"""Batch-norm statistics for a truncation: measured by passes in training mode, or rows of the checkpoint's table."""

import copy
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import modf

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from core.errors import GeneratorError, Problem
from core.generators.biggan.network import Network, NormedWeight
from core.run import Run


@dataclass(frozen=True)
class Statistics:
    """Tensors that replace the network's own, by name: ``<norm>.mean`` and ``<norm>.var`` [1, C] of each norm layer,
    and the vectors ``<layer>.u`` of the spectral norms, which the measurement moves on.
    """

    tensors: dict[str, Tensor]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return a safetensors file."""
        return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in self.tensors.items()})

    @classmethod
    def from_bytes(cls, content: bytes, network: Network) -> "Statistics":
        """Read what :meth:`to_bytes` wrote, onto the device of the network. Raises :class:`GeneratorError` for
        statistics of another network.
        """
        try:
            tensors = safetensors.torch.load(content)
        except safetensors.SafetensorError as error:
            raise GeneratorError("these statistics cannot be read", [Problem(str(error), "prepared")]) from None
        wanted = {name: tuple(tensor.shape[-1:]) for name, tensor in _replaced(network).items()}
        if wanted != {name: tuple(tensor.shape[-1:]) for name, tensor in tensors.items()}:
            problem = Problem("measured with another network", "prepared")
            raise GeneratorError("these statistics do not fit the generator", [problem])
        device = network.linear.weight.device
        return cls({name: tensor.to(device) for name, tensor in tensors.items()})


@torch.no_grad()
def standing_statistics(network: Network, batches: Iterable[tuple[Tensor, Tensor]], run: Run) -> Statistics:
    """Return the mean over batches of each norm layer's batch mean and biased batch variance (Brock et al. 2019,
    appendix C.1, as ajbrock/BigGAN-PyTorch measures them).

    batches: (z float [N, z_dim], class index int64 [N]) each. The layers in front of a norm layer use the statistics of
    the batch too. The network is copied, not changed.
    """
    measured = copy.deepcopy(network).train()
    sums: dict[str, Tensor] = {}
    count = 0
    for z, class_index in batches:
        run.stop_if_asked()
        measured(z, class_index)
        count += 1
        for name, norm in measured.norms():
            assert norm.measured is not None
            for part, value in zip(("mean", "var"), norm.measured, strict=True):
                key = f"{name}.{part}"
                sums[key] = sums[key] + value if key in sums else value
    means = {name: (total / count)[None] for name, total in sums.items()}
    return Statistics(means | {name: one for name, one in _replaced(measured).items() if name.endswith(".u")})


def tabulated_statistics(network: Network, truncation: float, swapped: bool) -> Statistics:
    """Return the statistics of a truncation from the checkpoint's table, whose rows stand for truncations from 0 to 1.

    swapped: between two rows, the lower one gets the weight of the upper and vice versa, as in the code of
    pytorch-pretrained-biggan; False interpolates linearly.
    """
    part, whole = modf(truncation / (1 / (network.config.statistics - 1)))
    lower = int(whole)
    found = {}
    for name, norm in network.norms():
        for kind, table in (("mean", norm.mean), ("var", norm.var)):
            row = table[lower]
            if part:
                weight = part if swapped else 1 - part
                row = row * weight + table[lower + 1] * (1 - weight)
            found[f"{name}.{kind}"] = row[None]
    return Statistics(found)


def _replaced(network: Network) -> dict[str, Tensor]:
    """Return the tensors of the network that a measurement replaces."""
    found = {f"{name}.{part}": getattr(norm, part) for name, norm in network.norms() for part in ("mean", "var")}
    normed = {name: one for name, one in network.named_modules() if isinstance(one, NormedWeight)}
    return found | {f"{name}.u": one.u for name, one in normed.items() if one.kind == "iterated"}
