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
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import EvaluationError, Problem
from core.evaluation.metrics.published_weights import missing_package
from core.evaluation.metrics.vision_transformers import VisionTransformer
from core.image_arrays import as_tensor
from core.torchvision_import import import_torchvision

NamedExtractor = Literal["inception", "clip", "dinov2"]
NAMED_EXTRACTORS: tuple[NamedExtractor, ...] = get_args(NamedExtractor)
_PACKAGE = {"inception": "torch_fidelity", "clip": "timm", "dinov2": "timm"}


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
    if name not in NAMED_EXTRACTORS:
        problems.append(Problem(f"{name!r} is none of {', '.join(NAMED_EXTRACTORS)}", "extractor"))
    else:
        problems += missing_package(_PACKAGE[name], "extractor")
    if not weights.is_file():
        problems.append(Problem(f"no such file; put the weights of {name!r} there", str(weights)))
    if problems:
        raise EvaluationError("these features cannot be extracted", problems)
    try:
        network = _inception(weights, device) if name == "inception" else _transformer(name, weights, device)
    except (OSError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise EvaluationError("unusable weights", [Problem(str(error)[:500], str(weights))]) from error
    return Extractor(name, network, device)


def domain_extractor(
    trunk: Callable[[Tensor], list[Tensor]], trained_on: str, device: torch.device | str = "cpu"
) -> Extractor:
    """Spatial means of the two deepest maps of a net's trunk, float [N, 3, H, W] in [-1, 1] → maps, finest first."""

    def pooled(images: Tensor) -> Tensor:
        return torch.cat([tap.mean((2, 3)) for tap in trunk(images.float() / 127.5 - 1)[-2:]], dim=1)

    return Extractor(f"domain ({trained_on})", pooled, device)


def _inception(weights: Path, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    import_torchvision()
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    ).to(device)

    def features(images: Tensor) -> Tensor:
        result: Tensor = network(images)[0]
        return result

    return features


def _transformer(
    name: Literal["clip", "dinov2"], weights: Path, device: torch.device | str
) -> Callable[[Tensor], Tensor]:
    network = VisionTransformer(name, weights).eval().to(device)
    return lambda images: network.whole(images.float() / 255)
