"""The perceptual network of a generator's domain, shipped beside it, for workers without ImageNet weights."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.digests import sha256_of
from core.errors import InversionError, Problem
from core.inversion.perceptual.distance import Features, LossWeights, Perceptual, unit

DOMAIN_LOSS_WEIGHTS = LossWeights(perceptual=1.0, l2=1.0)
"""A domain trunk has no learned heads and so another scale than LPIPS; ``perceptual.json`` of a trained trunk may say
otherwise.
"""

DEFAULT_STAGES = ((32, 32), (64, 64), (96, 96), (128,))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return conv


class PerceptualTrunk(nn.Module):
    """Small VGG-like trunk: stages of 3x3 convolutions with ReLU, 2x2 means between stages, a tap after each stage.

    ``stages`` holds the widths of each stage's convolutions; the default has 0.31 M parameters. A fresh trunk is random
    (He) and meant to be trained by whoever makes a generator, on any task of the same domain.
    """

    def __init__(self, stages: Sequence[Sequence[int]] = DEFAULT_STAGES) -> None:
        super().__init__()
        self.stages = tuple(tuple(widths) for widths in stages)
        widths = [3, *(width for stage in self.stages for width in stage)]
        self.convs = nn.ModuleList(_conv(a, b) for a, b in pairwise(widths))

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each tap; tap k has 1 / 2^k of the image's height and width."""
        return tuple(stage[-1] for stage in self.stages)

    def forward(self, images: Tensor) -> Features:
        """images: float [N, 3, H, W] in [-1, 1] → raw features [N, C_k, H / 2^k, W / 2^k] of every tap k."""
        taps: list[Tensor] = []
        convs = iter(self.convs)
        x = images.contiguous(memory_format=torch.channels_last)  # faster convolutions
        for index, stage in enumerate(self.stages):
            if index:
                x = F.avg_pool2d(x, 2)
            for _ in stage:
                x = F.relu(next(convs)(x))
            taps.append(x)
        return tuple(taps)


class DomainPerceptual(Perceptual):
    """Distance in the features of a trunk trained in the generator's own domain: LPIPS with every head equal to 1.

    Squared difference of unit-normalised features, summed over channels, mean over positions, summed over taps: between
    0 and 2 a tap. Not comparable with LPIPS.
    """

    def __init__(self, name: str, trunk: PerceptualTrunk, loss_weights: LossWeights = DOMAIN_LOSS_WEIGHTS) -> None:
        super().__init__()
        self.name = name
        self.loss_weights = loss_weights
        self.trunk = trunk.eval().requires_grad_(False)

    def features(self, images: Tensor) -> Features:
        """As :meth:`Perceptual.features`."""
        return tuple(unit(tap, 1e-6) for tap in self.trunk(images))

    def compare(self, features: Features, target: Features) -> Tensor:
        """As :meth:`Perceptual.compare`."""
        total = features[0].new_zeros(len(features[0]))
        for a, b in zip(features, target, strict=True):
            total = total + (a - b).square().sum((1, 2, 3)) / (a.shape[2] * a.shape[3])
        return total


def save_perceptual(folder: Path, perceptual: DomainPerceptual) -> None:
    """Write ``perceptual.json`` and ``perceptual.safetensors`` (fp16) into a generator's folder."""
    weights = folder / "perceptual.safetensors"
    tensors = {
        name: tensor.to("cpu", torch.float16).contiguous() for name, tensor in perceptual.trunk.state_dict().items()
    }
    safetensors.torch.save_file(tensors, weights)
    about = {
        "name": perceptual.name,
        "stages": perceptual.trunk.stages,
        "loss_weights": perceptual.loss_weights._asdict(),
        "digest": sha256_of(weights),
    }
    (folder / "perceptual.json").write_text(json.dumps(about, indent=2) + "\n")


def load_perceptual(folder: Path, device: torch.device | str = "cpu") -> DomainPerceptual:
    """Read what :func:`save_perceptual` wrote, as fp32. Raises :class:`InversionError` naming the file that is missing
    or wrong.
    """
    name = "perceptual.json"
    try:
        about = json.loads((folder / name).read_text())
        trunk = PerceptualTrunk(about["stages"])
        loss_weights = LossWeights(**about["loss_weights"])
        name = "perceptual.safetensors"
        if sha256_of(folder / name) != about["digest"]:
            raise ValueError("its SHA-256 is not the one in perceptual.json")
        trunk.load_state_dict(safetensors.torch.load_file(folder / name))
        if not all(bool(tensor.isfinite().all()) for tensor in trunk.parameters()):
            raise ValueError("holds numbers that are not finite")
    except Exception as error:  # absent, not JSON, a field missing, other tensors: all mean the same to the caller
        raise InversionError(
            "the generator's perceptual fallback cannot be used", [Problem(str(error), name)]
        ) from error
    return DomainPerceptual(about["name"], trunk, loss_weights).to(device)
