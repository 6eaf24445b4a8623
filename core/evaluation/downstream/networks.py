"""Downstream nets behind one face: images float32 [N, 3, H, W] in [-1, 1] → float [N, K, H, W].

K channels are class logits, heatmaps or a depth. ``trunk`` is the part that transfer learning keeps.
"""

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import EvaluationError, Problem
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.metrics.published_weights import missing_package
from core.torchvision_import import import_torchvision

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DownstreamNet(nn.Module):
    """Base of all nets."""

    trunk: nn.Module


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip


class SmallUNet(DownstreamNet):
    """Three halvings, for images of about 64 pixels; any size, padded to a multiple of 8 inside."""

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 6 * width]
        self.trunk = nn.ModuleList(_Block(i, o) for i, o in zip([3, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_Block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(width, channels, 1)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Outputs of the trunk's blocks, finest first."""
        x, taps = images, []
        for i, block in enumerate(cast(nn.ModuleList, self.trunk)):
            x = block(F.max_pool2d(x, 2) if i else x)
            taps.append(x)
        return taps

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores [N, channels, H, W] of images [N, 3, H, W] in [-1, 1]."""
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
        *skips, x = self.maps(padded)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        result: Tensor = self.head(x)[:, :, :height, :width]
        return result


class _OnImageNet(DownstreamNet):
    """A published architecture whose input is normalised as ImageNet's images are."""

    def __init__(self, network: nn.Module, trunk: nn.Module, logits: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.trunk = trunk
        self._logits = logits
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores [N, channels, H, W] of images [N, 3, H, W] in [-1, 1]."""
        return self._logits(self.network(((images + 1) / 2 - cast(Tensor, self.mean)) / cast(Tensor, self.std)))


def build_network(config: DownstreamConfig, channels: int, trunk_weights: Path | None = None) -> DownstreamNet:
    """A fresh net; with ``trunk_weights`` (a state dict of the trunk, as torchvision publishes them) its trunk starts
    there. Nothing is fetched. Raises :class:`core.errors.EvaluationError` for a missing package or unusable weights.
    """
    if config.network == "unet_small":
        net: DownstreamNet = SmallUNet(channels, config.width)
    elif config.network == "unet_resnet18":
        net = _unet_resnet18(channels)
    else:
        net = _deeplab(config.network, channels)
    if trunk_weights is not None:
        _load_trunk(net, trunk_weights)
    return net


def _deeplab(name: str, channels: int) -> DownstreamNet:
    import_torchvision()
    models: Any = importlib.import_module("torchvision.models.segmentation")
    builder = {"deeplabv3_mobilenet": "deeplabv3_mobilenet_v3_large"}.get(name, name)
    network = getattr(models, builder)(weights=None, weights_backbone=None, num_classes=channels, aux_loss=None)
    return _OnImageNet(network, network.backbone, lambda result: cast(Tensor, result["out"]))


def _unet_resnet18(channels: int) -> DownstreamNet:
    require_package("segmentation_models_pytorch")
    import_torchvision()
    smp: Any = importlib.import_module("segmentation_models_pytorch")
    network = smp.Unet("resnet18", encoder_weights=None, classes=channels)
    return _OnImageNet(network, network.encoder, lambda result: cast(Tensor, result))


def require_package(module: str) -> None:
    """Raise :class:`core.errors.EvaluationError` where a package is not installed."""
    problems = missing_package(module, "network")
    if problems:
        raise EvaluationError("unsupported downstream network", problems)


def _load_trunk(net: DownstreamNet, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        wanted = net.trunk.state_dict()
        # Published files hold the whole classifier; its last layers have no place here, and some trunks are a part
        # of it that goes by a name of its own.
        named = {name.removeprefix("features."): value for name, value in state.items()}
        found = {name: value for name, value in named.items() if name in wanted}
        missing = sorted(set(wanted) - set(found))
        if missing:
            raise ValueError(f"{len(missing)} of {len(wanted)} tensors are missing, {missing[0]} among them")
        net.trunk.load_state_dict(found)
    except UNUSABLE as error:
        raise unusable_weights(path, error) from error


UNUSABLE = (OSError, RuntimeError, ValueError, AttributeError, KeyError, pickle.UnpicklingError)


def unusable_weights(path: Path, error: Exception) -> EvaluationError:
    """Return the error for a file that holds other weights."""
    return EvaluationError("unusable trunk weights", [Problem(str(error)[:300], str(path))])
