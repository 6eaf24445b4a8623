"""Where features of images come from. A distance between features is only as good as the net behind them, so each
extractor has a name that stands in every report.

``inception``   Inception-v3 of the original FID, 2048 features           weights file, ``torch-fidelity``
``clip``        OpenAI's ViT-B/32 image encoder, 512 features             weights file, ``timm``
``dinov2``      DINOv2 ViT-S/14, 384 features                             weights file, ``timm``
``domain``      the trunk of a net trained in the images' own domain      that net

Weights are local files, nothing is fetched: :func:`named_extractor` raises :class:`core.errors.EvaluationError` with
the name of the file or package that is missing.
"""

import importlib
import importlib.util
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.errors import EvaluationError, Problem
from core.pixels import as_tensor
from core.vision import import_torchvision

NamedExtractor = Literal["inception", "clip", "dinov2"]
_PACKAGE = {"inception": "torch_fidelity", "clip": "timm", "dinov2": "timm"}
_TIMM = {
    # Mean and deviation are those of the published models.
    "clip": ("vit_base_patch32_clip_224", {"num_classes": 512}, (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)),
    "dinov2": (
        "vit_small_patch14_dinov2", {"num_classes": 0, "img_size": 224}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Extractor:
    """``name``: for reports. ``network``: uint8 [N, 3, H, W] → float [N, D]."""

    name: str
    network: Callable[[Tensor], Tensor]
    device: torch.device | str = "cpu"

    @torch.no_grad()
    def __call__(self, images: NDArray[np.uint8], batch: int = 100) -> NDArray[np.float64]:
        """Features of uint8 [N, H, W, 3]: float64 [N, D]."""
        parts = [
            self.network(as_tensor(images[start : start + batch]).to(self.device)).cpu().double().numpy()
            for start in range(0, len(images), batch)
        ]
        return np.concatenate(parts)


def named_extractor(name: NamedExtractor, weights: Path, device: torch.device | str = "cpu") -> Extractor:
    """A published extractor with its weights from a file."""
    problems = []
    if name not in get_args(NamedExtractor):
        problems.append(Problem(f"{name!r} is none of {', '.join(get_args(NamedExtractor))}", "extractor"))
    elif importlib.util.find_spec(_PACKAGE[name]) is None:
        problems.append(Problem(f"needs the package {_PACKAGE[name].replace('_', '-')}; install it", "extractor"))
    if not weights.is_file():
        problems.append(Problem(f"no such file; put the weights of {name!r} there", str(weights)))
    if problems:
        raise EvaluationError("these features cannot be extracted", problems)
    import_torchvision()
    try:
        network = _inception(weights, device) if name == "inception" else _vision_transformer(name, weights, device)
    except (OSError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise EvaluationError("these weights cannot be used", [Problem(str(error)[:500], str(weights))]) from error
    return Extractor(name, network, device)


def domain_extractor(
    trunk: Callable[[Tensor], list[Tensor]], trained_on: str, device: torch.device | str = "cpu"
) -> Extractor:
    """Spatial means of the two deepest maps of a net's trunk, float [N, 3, H, W] in [-1, 1] → maps, finest first."""

    def pooled(images: Tensor) -> Tensor:
        return torch.cat([tap.mean((2, 3)) for tap in trunk(images.float() / 127.5 - 1)[-2:]], dim=1)

    return Extractor(f"domain ({trained_on})", pooled, device)


def _inception(weights: Path, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    ).to(device)

    def features(images: Tensor) -> Tensor:
        result: Tensor = network(images)[0]
        return result

    return features


def _vision_transformer(name: str, weights: Path, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    timm: Any = importlib.import_module("timm")
    model, settings, mean, deviation = _TIMM[name]
    network = timm.create_model(model, pretrained=False, checkpoint_path=str(weights), **settings).eval().to(device)
    shift = torch.tensor(mean, device=device)[:, None, None]
    scale = torch.tensor(deviation, device=device)[:, None, None]

    def features(images: Tensor) -> Tensor:
        resized = F.interpolate(images.float(), (224, 224), mode="bicubic", align_corners=False).clamp(0, 255)
        result: Tensor = network((resized / 255 - shift) / scale)
        return result

    return features
