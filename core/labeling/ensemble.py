"""The ensemble: M equal pixel MLPs as stacked weights, trained and applied at once (HandsOff section 3.3, appendix B).

Each member is Linear → ReLU → BatchNorm for every hidden width, of which there may be none, then Linear. In training,
BatchNorm looks at the member's own batch; afterwards it is a linear map and is folded into the next Linear, and
whatever the features were conditioned with (:mod:`core.labeling.conditioning`) into the first.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.labeling.conditioning import Conditioning

WEIGHT_STD = 0.02
MEMBER_STREAM = 1
"""Tells these random numbers from others of the same seed."""
BATCH_NORM_EPSILON = 1e-5


class FoldedEnsemble(NamedTuple):
    """The ensemble as plain affine maps with ReLU between them.

    members: M, how many networks there are.
    first_weight [C, M H1], first_bias [M H1]: from raw hypercolumns; columns stand member by member.
    weights [M, in, out], biases [M, 1, out]: the layers after the first, the last one to what a member says. Without
    any, members are linear: the first layer says it all, and H1 is the number of outputs.
    """

    members: int

    first_weight: Tensor
    first_bias: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def outputs(self) -> int:
        """Numbers that each member says of a pixel: classes, points, or one depth."""
        return self.weights[-1].shape[2] if self.weights else len(self.first_bias) // self.members

    def say(self, hidden: Tensor) -> Tensor:
        """First-layer pre-activations [P, M H1] (overwritten) → what each member says, float32 [M, P, outputs]."""
        if self.weights:
            hidden = hidden.relu_()
        x = hidden.view(len(hidden), self.members, -1).transpose(0, 1)  # [M, P, H1]
        last = len(self.weights) - 1
        for depth, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if depth < last:
                x = x.relu_()
        return x.float()

    def scaled(self, factor: float, offset: float = 0.0) -> "FoldedEnsemble":
        """The same ensemble saying ``factor * x + offset`` where it said x."""
        if not self.weights:
            first, bias = self.first_weight * factor, self.first_bias * factor + offset
            return self._replace(first_weight=first, first_bias=bias)
        weights, biases = list(self.weights), list(self.biases)
        weights[-1], biases[-1] = weights[-1] * factor, biases[-1] * factor + offset
        return self._replace(weights=tuple(weights), biases=tuple(biases))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "FoldedEnsemble":
        """The same ensemble on ``device``, with weights of ``dtype`` where one is given."""
        return FoldedEnsemble(
            self.members,
            self.first_weight.to(device, dtype),
            self.first_bias.to(device, dtype),
            tuple(weight.to(device, dtype) for weight in self.weights),
            tuple(bias.to(device, dtype) for bias in self.biases),
        )

    def pick(self, members: Sequence[int]) -> "FoldedEnsemble":
        """The ensemble of these members alone."""
        chosen, width = torch.tensor(members), len(self.first_bias) // self.members
        first = self.first_weight.view(len(self.first_weight), self.members, width)[:, chosen]
        return FoldedEnsemble(
            len(members),
            first.flatten(1).contiguous(),
            self.first_bias.view(self.members, width)[chosen].flatten().contiguous(),
            tuple(weight[chosen] for weight in self.weights),
            tuple(bias[chosen] for bias in self.biases),
        )


def ensemble_tensors(ensemble: FoldedEnsemble) -> dict[str, Tensor]:
    """By name, as they are stored."""
    tensors = {"first.weight": ensemble.first_weight, "first.bias": ensemble.first_bias}
    for depth, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        tensors |= {f"{depth}.weight": weight, f"{depth}.bias": bias}
    return tensors


def ensemble_from(tensors: Mapping[str, Tensor], members: int) -> FoldedEnsemble:
    """The inverse of :func:`ensemble_tensors`, for an ensemble of ``members``."""
    depths = range(sum(name.endswith(".weight") for name in tensors) - 1)
    return FoldedEnsemble(
        members,
        tensors["first.weight"],
        tensors["first.bias"],
        tuple(tensors[f"{depth}.weight"] for depth in depths),
        tuple(tensors[f"{depth}.bias"] for depth in depths),
    )


class Ensemble(nn.Module):
    """M members over ``inputs`` conditioned features, in the layout [M, features, pixels]."""

    def __init__(self, members: int, inputs: int, hidden: tuple[int, ...], classes: int, seed: int) -> None:
        """Member m's first weights depend on (seed, m) alone, so that a small ensemble is the head of a large one."""
        super().__init__()
        self.members, self.hidden = members, hidden
        widths = list(pairwise([inputs, *hidden, classes]))
        randoms = [np.random.default_rng([seed, MEMBER_STREAM, member]) for member in range(members)]
        self.weights = nn.ParameterList(
            torch.from_numpy(np.stack([random.standard_normal((out, width), np.float32) for random in randoms]))
            * WEIGHT_STD
            for width, out in widths
        )
        self.biases = nn.ParameterList(torch.zeros(members, out, 1) for _, out in widths)
        self.gains = nn.ParameterList(torch.ones(members * width) for width in hidden)
        self.shifts = nn.ParameterList(torch.zeros(members * width) for width in hidden)
        for depth, width in enumerate(hidden):
            self.register_buffer(f"mean{depth}", torch.zeros(members * width))
            self.register_buffer(f"variance{depth}", torch.ones(members * width))

    def forward(self, x: Tensor) -> Tensor:
        """Conditioned features [M, inputs, P], each member its own pixels → logits [M, classes, P]."""
        for depth in range(len(self.hidden)):
            x = torch.baddbmm(self.biases[depth], self.weights[depth], x).relu()  # [M, H, P]
            x = self._normalise(x, depth)
        return torch.baddbmm(self.biases[-1], self.weights[-1], x)

    def _normalise(self, x: Tensor, depth: int) -> Tensor:
        # One batch norm over M x H channels of P pixels: statistics of each member's own batch.
        mean, variance = self.get_buffer(f"mean{depth}"), self.get_buffer(f"variance{depth}")
        gain, shift = self.gains[depth], self.shifts[depth]
        flat = x.reshape(1, -1, x.shape[2])
        flat = F.batch_norm(flat, mean, variance, gain, shift, self.training, eps=BATCH_NORM_EPSILON)
        return flat.view_as(x)

    @torch.no_grad()
    def folded(self, conditioning: Conditioning) -> FoldedEnsemble:
        """The trained ensemble over raw hypercolumns, with BatchNorm and ``conditioning`` folded in (in float64)."""
        weights = [weight.double().transpose(1, 2) for weight in self.weights]  # [M, in, out]
        biases = [bias.double().transpose(1, 2) for bias in self.biases]  # [M, 1, out]
        for depth in range(len(self.hidden)):
            variance, mean = self.get_buffer(f"variance{depth}").double(), self.get_buffer(f"mean{depth}").double()
            gain = self.gains[depth].double() * (variance + BATCH_NORM_EPSILON).rsqrt()
            shift = self.shifts[depth].double() - mean * gain
            gain, shift = gain.view(self.members, -1, 1), shift.view(self.members, 1, -1)
            biases[depth + 1] = biases[depth + 1] + shift @ weights[depth + 1]
            weights[depth + 1] = gain * weights[depth + 1]
        first = weights[0].permute(1, 0, 2).flatten(1)  # [inputs, M H1]
        raw, bias = conditioning.fold(first)
        return FoldedEnsemble(
            self.members,
            raw.float().contiguous(),
            (biases[0].flatten() + bias).float(),
            tuple(weight.float().contiguous() for weight in weights[1:]),
            tuple(bias.float().contiguous() for bias in biases[1:]),
        )
