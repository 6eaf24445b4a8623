"""What the features pass through before the first layer while it is trained: an affine map, folded away afterwards.

Channels of a generator differ in scale by orders of magnitude and repeat one another. Unit variance makes one learning
rate fit all; the leading principal components make the first layer several times cheaper to train.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SPARE_DIRECTIONS = 16
"""More than are asked for, so that those that are come out well (Halko, Martinsson and Tropp 2011, section 4.2)."""


class Conditioning(NamedTuple):
    """x → x * scale + offset, or x @ basis + offset. scale: float [C]. basis: float [C, K]. offset: float [outputs]."""

    offset: Tensor
    scale: Tensor | None
    basis: Tensor | None

    @property
    def outputs(self) -> int:
        """Number of conditioned features."""
        return len(self.offset)

    def apply(self, x: Tensor) -> Tensor:
        """Hypercolumns [P, C] → conditioned features [P, K]."""
        if self.basis is not None:
            return torch.addmm(self.offset, x, self.basis)
        return x if self.scale is None else torch.addcmul(self.offset, x, self.scale)

    def fold(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """A linear map of conditioned features, float64 [K, Q] → that of raw ones: (weight [C, Q], bias [Q])."""
        bias = self.offset.double() @ weight
        if self.basis is not None:
            weight = self.basis.double() @ weight
        elif self.scale is not None:
            weight = self.scale.double()[:, None] * weight
        return weight, bias


def fit_conditioning(sample: Tensor, standardise: bool, components: int | None) -> Conditioning:
    """Measure a conditioning on hypercolumns ``sample`` [P, C].

    With neither option it is the identity. Without ``standardise`` the components are those of the raw features; there
    are no more of them than rows of the sample. Equal samples give equal results on the same machine.
    """
    channels = sample.shape[1]
    if not standardise and components is None:
        return Conditioning(sample.new_zeros(channels), None, None)
    mean, scale = sample.mean(0), sample.new_ones(channels)
    if standardise:
        std = sample.std(0)
        # A channel that hardly moved here may move in what is generated later: do not blow it up.
        scale = 1 / std.clamp_min(1e-3 * std.median().clamp_min(1e-12))
    if components is None or components >= channels:
        return Conditioning(-mean * scale, scale, None)
    basis = _leading_components((sample - mean) * scale, components) * scale[:, None]
    return Conditioning((-mean.double() @ basis.double()).float(), None, basis.contiguous())


def _leading_components(centred: Tensor, count: int) -> Tensor:
    """Orthonormal directions of most variance, largest first: [P, C] → [C, K].

    By subspace iteration from random directions: of 5,888 channels all eigenvectors would cost several times as long,
    and that these last ones are not exactly the next most varied changes nothing.
    """
    device = centred.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        width = min(count + SPARE_DIRECTIONS, *centred.shape)
        return torch.svd_lowrank(centred, q=width, niter=2)[2][:, :count]
