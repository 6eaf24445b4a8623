"""Weights that others have published, found in local folders. Nothing is downloaded here.

=======================  ===============================================================  ==================
file                     content                                                          read with
=======================  ===============================================================  ==================
inception.pth            Inception-v3 of the original FID, as torch-fidelity publishes    torch-fidelity
clip.safetensors         OpenAI's ViT-B/32, as OpenCLIP or timm publish                   timm
dinov2.pth               DINOv2 ViT-S/14, as Meta or timm publish                         timm
dinov3.pth               DINOv3 ViT-S/16, as timm publishes                               timm
resnet18.pth             ImageNet weights of the downstream nets' trunks, as torchvision  torchvision
                         publishes; so resnet50, resnet101 and mobilenet_v3_large
=======================  ===============================================================  ==================

Each may be a ``.pth`` or a ``.safetensors`` file.
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
    """The folders with weights, in the order in which they are searched."""

    folders: tuple[Path, ...] = ()

    def find(self, name: str) -> Path | None:
        """The file of these weights, or None."""
        paths = (folder / f"{name}{suffix}" for folder in self.folders for suffix in (".pth", ".safetensors"))
        return next((path for path in paths if path.is_file()), None)


def missing_package(module: str, pointer: str) -> list[Problem]:
    """A problem that names the package to install, where ``module`` cannot be found."""
    if importlib.util.find_spec(module) is not None:
        return []
    return [Problem(f"needs the package {module.replace('_', '-')}; install it", pointer)]
