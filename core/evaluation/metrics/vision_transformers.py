"""Published vision transformers, built by timm, their weights from a local file."""

import importlib
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.torchvision_import import import_torchvision

TransformerName = Literal["clip", "dinov2", "dinov3"]
SelfSupervised = Literal["dinov2", "dinov3"]
_MODELS: dict[TransformerName, tuple[str, dict[str, Any], tuple[float, ...], tuple[float, ...]]] = {
    # Mean and deviation are those of the published models.
    # OpenAI trained with QuickGELU.
    "clip": (
        "vit_base_patch32_clip_quickgelu_224", {"num_classes": 512},
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711),
    ),
    "dinov2": (
        "vit_small_patch14_dinov2", {"num_classes": 0, "img_size": 224, "dynamic_img_size": True},
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225),
    ),
    "dinov3": (
        "vit_small_patch16_dinov3", {"num_classes": 0, "dynamic_img_size": True},
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225),
    ),
}  # fmt: skip


class VisionTransformer(nn.Module):
    """``network``: timm's. Images float [N, 3, H, W] in 0..1. Without ``weights`` it is fresh.

    Raises OSError, RuntimeError, KeyError, ValueError or UnpicklingError for a file that holds something else.
    """

    def __init__(self, name: TransformerName, weights: Path | None) -> None:
        super().__init__()
        import_torchvision()
        timm: Any = importlib.import_module("timm")
        model, settings, mean, deviation = _MODELS[name]
        self.network: Any = timm.create_model(model, pretrained=False, **settings)
        if weights is not None:  # files of the original projects have other names, and positions of another size
            models: Any = importlib.import_module("timm.models")
            convert = importlib.import_module(type(self.network).__module__).checkpoint_filter_fn
            models.load_checkpoint(self.network, str(weights), filter_fn=convert)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def whole(self, images: Tensor) -> Tensor:
        """Features [N, D] of images of 224 × 224."""
        result: Tensor = self.network(self._normal(images))
        return result

    def patches(self, images: Tensor, least: int = 224) -> Tensor:
        """Features of each patch, [N, D, h, w]; images whose shorter side is below ``least`` pixels are enlarged."""
        scale = max(1.0, least / min(images.shape[2:]))
        patch = self.network.patch_embed.patch_size[0]
        rows, columns = (max(1, round(side * scale / patch)) for side in images.shape[2:])
        tokens = self.network.forward_features(self._normal(_resized(images, (rows * patch, columns * patch))))
        kept: Tensor = tokens[:, self.network.num_prefix_tokens :]  # [N, rows · columns, D]
        return kept.transpose(1, 2).reshape(len(images), -1, rows, columns)

    def _normal(self, images: Tensor) -> Tensor:
        return (images - cast(Tensor, self.mean)) / cast(Tensor, self.deviation)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(images, size, mode="bicubic", align_corners=False).clamp(0, 1)
