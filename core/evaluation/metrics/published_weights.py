"""Weights that others have published, looked for in one local folder. Nothing is fetched; what is absent is said.

=======================  ===============================================================  ==================
file                     what it is                                                       read with
=======================  ===============================================================  ==================
inception.pth            Inception-v3 of the original FID, as torch-fidelity publishes    torch-fidelity
clip.pth                 OpenAI's ViT-B/32 image encoder, as timm publishes               timm
dinov2.pth               DINOv2 ViT-S/14, as timm publishes                               timm
resnet18.pth             ImageNet weights of the downstream nets' trunks, as torchvision  torchvision
                         publishes; so resnet50, resnet101 and mobilenet_v3_large
=======================  ===============================================================  ==================
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from core.errors import Problem

TRUNKS = {
    "unet_resnet18": "resnet18",
    "deeplabv3_mobilenet": "mobilenet_v3_large",
    "deeplabv3_resnet50": "resnet50",
    "deeplabv3_resnet101": "resnet101",
}
"""Downstream nets whose trunk is a published one, and its name."""


@dataclass(frozen=True)
class PublishedWeights:
    """The folder; None where there is none."""

    folder: Path | None = None

    def find(self, name: str) -> Path | None:
        """The file of these weights, or None."""
        path = self.folder / f"{name}.pth" if self.folder else None
        return path if path is not None and path.is_file() else None


def missing_package(module: str, pointer: str) -> list[Problem]:
    """A problem that names the package to install, where ``module`` cannot be found."""
    if importlib.util.find_spec(module) is not None:
        return []
    return [Problem(f"needs the package {module.replace('_', '-')}; install it", pointer)]
