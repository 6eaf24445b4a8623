"""How far two images are apart to the eye: LPIPS where its ImageNet weights are at hand, else a trunk of the
generator's own domain.

Both compare images by unit-normalised features of a convolutional trunk (Zhang et al. 2018, "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric", equation 1). Features of the targets are computed once and used
at every step. A trunk never runs on random weights: what is missing is an error that names the file to provide.
"""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import InversionError, Problem
from core.vision import import_torchvision

Net = Literal["vgg", "alex", "squeeze"]
"""Trunks of LPIPS, best known first."""

Features = tuple[Tensor, ...]
"""Unit-normalised features, one [N, C, h, w] a tap."""


class LossWeights(NamedTuple):
    """Weights of the two image losses: of the perceptual distance, and of the mean squared error of images in [0,
    1].
    """

    perceptual: float
    l2: float


LPIPS_LOSS_WEIGHTS = LossWeights(perceptual=1.0, l2=0.1)
"""The weight 0.1 is λ_l2 by HandsOff (equation 2); 10 : 1 in its code, which is the same ratio."""

DOMAIN_LOSS_WEIGHTS = LossWeights(perceptual=1.0, l2=1.0)
"""A domain trunk has no learned heads and so another scale than LPIPS; ``perceptual.json`` of a trained trunk may say
otherwise.
"""

SMALLEST_LPIPS_IMAGE = 32
"""Pixels of the shorter side below which the deepest taps of the ImageNet trunks have nothing left."""

# torchvision's names for its ImageNet weights; the part after the dash is the beginning of the file's SHA-256.
WEIGHT_FILES: Mapping[Net, str] = {
    "vgg": "vgg16-397923af.pth",
    "alex": "alexnet-owt-7be5be79.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}


class Perceptual(nn.Module, ABC):
    """A frozen perceptual distance. ``name`` says which, in every report."""

    name: str
    loss_weights: LossWeights

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """images: float [N, 3, H, W] in [-1, 1]. Unit-normalised features of every tap, differentiable in the
        images.
        """

    @abstractmethod
    def compare(self, features: Features, target: Features) -> Tensor:
        """Distance [N] ≥ 0 between two sets of features of this distance."""

    def distance(self, images: Tensor, target: Features) -> Tensor:
        """Distance [N] of images [N, 3, H, W] in [-1, 1] from targets of the same size, given by their features."""
        return self.compare(self.features(images), target)


def _unit(x: Tensor, epsilon: float) -> Tensor:
    """x [N, C, h, w] with length 1 over channels; ε under the root keeps the gradient finite where all channels are
    0.
    """
    return x * (x.square().sum(1, keepdim=True) + epsilon).rsqrt()


class Lpips(Perceptual):
    """LPIPS version 0.1: ImageNet trunk, learned non-negative heads. ``network`` is the lpips package's, with weights
    loaded.
    """

    network: Any  # untyped where it comes from

    def __init__(self, net: Net, network: nn.Module) -> None:
        super().__init__()
        self.name = f"lpips-{net}-v0.1"
        self.loss_weights = LPIPS_LOSS_WEIGHTS
        self.network = network.eval().requires_grad_(False)

    def features(self, images: Tensor) -> Features:
        """As :meth:`Perceptual.features`. Raises :class:`InversionError` for images smaller than 32 pixels."""
        if min(images.shape[2:]) < SMALLEST_LPIPS_IMAGE:
            raise InversionError(
                f"LPIPS needs images of {SMALLEST_LPIPS_IMAGE} pixels or more, these have {min(images.shape[2:])}"
            )
        taps = self.network.net(self.network.scaling_layer(images))
        return tuple(_unit(tap, 1e-20) for tap in taps)  # the package adds 1e-10 outside of the root

    def compare(self, features: Features, target: Features) -> Tensor:
        """As :meth:`Perceptual.compare`."""
        total = features[0].new_zeros(len(features[0]))
        for head, a, b in zip(self.network.lins, features, target, strict=True):
            total = total + head((a - b).square()).mean((1, 2, 3))  # [N, 1, h, w] → [N]
        return total


def lpips_distance(net: Net, weights: Path) -> Lpips:
    """LPIPS on the trunk ``net`` with ImageNet weights from ``weights``, a file or a folder that holds it.

    Files are torchvision's own (``vgg16-397923af.pth``), or the same tensors as ``vgg16.safetensors``; the heads come
    with the lpips package. Raises :class:`InversionError` naming the file to provide when it is absent, damaged or of
    another network.
    """
    found = weights if weights.is_file() else find_weights(net, weights)
    if found is None:
        raise InversionError("no ImageNet weights for LPIPS", [_missing(net, weights)])
    import_torchvision()  # before lpips, which imports it
    import lpips

    trunk = _read_trunk(found, net)
    with torch.device("meta"):  # the constructor would fill 138 million random weights of VGG-16, only to drop them
        network = _quietly(lpips.LPIPS, net=net, pretrained=False, pnet_rand=True, verbose=False)
    heads_file = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    heads = torch.load(heads_file, weights_only=True, map_location="cpu")
    state: dict[str, Tensor] = {}
    for name in network.state_dict():
        part, _, rest = name.partition(".")
        if part == "net":  # net.slice2.5.weight is torchvision's features.5.weight
            state[name] = trunk.get("features." + rest.partition(".")[2], torch.empty(0)).float()
        elif part == "lins":  # lins.0 is the same module as lin0
            state[name] = heads["lin" + rest]
        else:
            state[name] = heads[name] if name in heads else network.state_dict()[name]
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise InversionError(
            f"{found.name} does not hold the weights of {net}", [Problem(str(error), found.name)]
        ) from error
    return Lpips(net, network)


def find_weights(net: Net, folder: Path) -> Path | None:
    """The file with the ImageNet weights of ``net`` in ``folder`` or where torch keeps them below it; None when
    absent.
    """
    published = Path(WEIGHT_FILES[net])
    names = [published.name, f"{published.stem}.safetensors", f"{published.stem.partition('-')[0]}.safetensors"]
    folders = [folder, folder / "checkpoints", folder / "hub" / "checkpoints"]
    return next((place / name for place in folders for name in names if (place / name).is_file()), None)


def _missing(net: Net, folder: Path) -> Problem:
    return Problem(f"put {WEIGHT_FILES[net]} (torchvision's ImageNet weights) into this folder", str(folder))


def _read_trunk(path: Path, net: Net) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.name == WEIGHT_FILES[net] and not _sha256(path).startswith(path.stem.rpartition("-")[2]):
            raise ValueError("its SHA-256 is not the one in its name: the download was cut short or altered")
        state: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
        return state
    except Exception as error:  # safetensors, pickle and zip readers each raise their own kinds
        raise InversionError(f"cannot read the weights of {net}", [Problem(str(error), path.name)]) from error


def _quietly(build: Any, **arguments: Any) -> Any:
    """Call ``build`` without the deprecation warnings that lpips 0.1.4 sets off in torchvision."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        return build(**arguments)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        return tuple(_unit(tap, 1e-6) for tap in self.trunk(images))

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
        "digest": _sha256(weights),
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
        if _sha256(folder / name) != about["digest"]:
            raise ValueError("its SHA-256 is not the one in perceptual.json")
        trunk.load_state_dict(safetensors.torch.load_file(folder / name))
        if not all(bool(tensor.isfinite().all()) for tensor in trunk.parameters()):
            raise ValueError("holds numbers that are not finite")
    except Exception as error:  # absent, not JSON, a field missing, other tensors: all mean the same to the caller
        raise InversionError(
            "the generator's perceptual fallback cannot be used", [Problem(str(error), name)]
        ) from error
    return DomainPerceptual(about["name"], trunk, loss_weights).to(device)


def choose_perceptual(
    generator_folder: Path | None, weights_folder: Path | None, device: torch.device | str = "cpu"
) -> Perceptual:
    """The distance to invert with: LPIPS from ``weights_folder`` (vgg, else alex, else squeeze), else the generator's
    own fallback, else LPIPS from torch's cache. Raises :class:`InversionError` naming what to provide when there is
    none of them.
    """
    fallback = generator_folder is not None and (generator_folder / "perceptual.json").is_file()
    cache = Path(torch.hub.get_dir())
    for folder in (weights_folder, None if fallback else cache):
        for net in get_args(Net):
            if folder is not None and find_weights(net, folder) is not None:
                return lpips_distance(net, folder).to(device)
        if fallback and generator_folder is not None:
            return load_perceptual(generator_folder, device)
    problems = [
        Problem(
            "or give the generator its own: perceptual.json with perceptual.safetensors",
            os.fspath(generator_folder or ""),
        )
    ]
    raise InversionError(
        "no perceptual distance at hand: neither ImageNet weights for LPIPS nor the generator's own fallback",
        [_missing("vgg", weights_folder or cache / "checkpoints"), *problems],
    )
