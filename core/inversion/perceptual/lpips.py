"""LPIPS, with ImageNet weights that the user provides and the heads of the lpips package."""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from contracts.perceptual import SMALLEST_LPIPS_IMAGE
from core.digests import sha256_of
from core.errors import InversionError, Problem
from core.inversion.perceptual.distance import Features, LossWeights, Perceptual, unit
from core.inversion.perceptual.weights import WEIGHT_FILES, Net, find_weights
from core.torchvision_import import import_torchvision

LPIPS_LOSS_WEIGHTS = LossWeights(perceptual=1.0, l2=0.1)
"""The weight 0.1 is λ_l2 by HandsOff (equation 2); 10 : 1 in its code, which is the same ratio."""


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
        return tuple(unit(tap, 1e-20) for tap in taps)  # the package adds 1e-10 outside of the root

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
        raise InversionError("no ImageNet weights for LPIPS", [missing_weights(net, weights)])
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


def missing_weights(net: Net, folder: Path) -> Problem:
    """What to put where, so that LPIPS can be had."""
    return Problem(f"put {WEIGHT_FILES[net]} (torchvision's ImageNet weights) into this folder", str(folder))


def _read_trunk(path: Path, net: Net) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.name == WEIGHT_FILES[net] and not sha256_of(path).startswith(path.stem.rpartition("-")[2]):
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
