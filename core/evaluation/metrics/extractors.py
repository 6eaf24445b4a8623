"""Where features of images come from. A distance between features is only as good as the net behind them, so each
extractor has a name that stands in every report, with the digest of its weights and its resize rule.

``inception``   Inception-v3 of the original FID, 2048 features           weights file, ``torch-fidelity``
``clip``        OpenAI's ViT-B/32 image encoder, 512 features             weights file, ``timm``
``dinov2``      DINOv2 ViT-S/14, 384 features                             weights file, ``timm``
``domain``      the trunk of a net trained in the images' own domain      that net
``pixels``      means of 16 x 16 patches                                  none

Weights are local files, nothing is fetched: :func:`named_extractor` raises :class:`core.errors.EvaluationError` with
the name of the file or package that is missing.
"""

import importlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.digests import sha256_of
from core.errors import EvaluationError, Problem
from core.evaluation.metrics.memorization import picture_features
from core.evaluation.metrics.published_weights import missing_package
from core.evaluation.metrics.resize import RESIZE_RULES, ResizeRule, resized
from core.evaluation.metrics.vision_transformers import VisionTransformer
from core.image_arrays import as_tensor
from core.torchvision_import import import_torchvision

NamedExtractor = Literal["inception", "clip", "dinov2"]
NAMED_EXTRACTORS: tuple[NamedExtractor, ...] = get_args(NamedExtractor)
_PACKAGE = {"inception": "torch_fidelity", "clip": "timm", "dinov2": "timm"}


DEFAULT_RESIZE: dict[NamedExtractor, ResizeRule] = {"inception": "tf_bilinear", "clip": "bicubic", "dinov2": "bicubic"}
"""The rule of the published numbers of each extractor."""


@dataclass(frozen=True)
class Extractor:
    """A named network. ``network``: uint8 [N, 3, H, W] → float [N, D]; it resizes by the rule ``resize``.

    digest: SHA-256 (hex) of the weights, empty for a network without a file. standardized: whether features have no
    customary scale, and are centred and scaled to variance 1 over the real images before they are compared.
    """

    name: str
    network: Callable[[Tensor], Tensor]
    device: torch.device | str = "cpu"
    digest: str = ""
    resize: ResizeRule = "none"
    standardized: bool = False

    @torch.no_grad()
    def features(self, images: Tensor) -> NDArray[np.float32]:
        """Return float32 [N, D] of one batch, uint8 [N, 3, H, W]."""
        return self.network(images.to(self.device)).float().cpu().numpy()

    def __call__(self, images: NDArray[np.uint8], batch: int = 100) -> NDArray[np.float64]:
        """Return float64 [N, D] of uint8 [N, H, W, 3]."""
        starts = range(0, len(images), batch)
        return np.concatenate([self.features(as_tensor(images[start : start + batch])) for start in starts]).astype(
            np.float64
        )


def named_extractor(
    name: NamedExtractor, weights: Path, device: torch.device | str = "cpu", resize: ResizeRule | None = None
) -> Extractor:
    """Return a published extractor with its weights from a file. ``resize``: None for that of published numbers.

    Raises :class:`EvaluationError` that names every problem.
    """
    problems = []
    if name not in NAMED_EXTRACTORS:
        problems.append(Problem(f"{name!r} is none of {', '.join(NAMED_EXTRACTORS)}", "extractor"))
    else:
        problems += missing_package(_PACKAGE[name], "extractor")
    rule = resize or DEFAULT_RESIZE.get(name, "none")
    if resize is not None and (resize == "none" or resize not in RESIZE_RULES):
        rules = ", ".join(rule for rule in RESIZE_RULES if rule != "none")
        problems.append(Problem(f"expected one of {rules}, found {resize!r}", "resize"))
    if not weights.is_file():
        problems.append(Problem(f"no such file; put the weights of {name!r} there", str(weights)))
    if problems:
        raise EvaluationError("these features cannot be extracted", problems)
    try:
        network = (
            _inception(weights, device, rule) if name == "inception" else _transformer(name, weights, device, rule)
        )
    except (OSError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise EvaluationError("unusable weights", [Problem(str(error)[:500], str(weights))]) from error
    return Extractor(name, network, device, sha256_of(weights), rule)


def domain_extractor(
    trunk: Callable[[Tensor], Sequence[Tensor]], trained_on: str, device: torch.device | str = "cpu", digest: str = ""
) -> Extractor:
    """Spatial means of the two deepest maps of a net's trunk, float [N, 3, H, W] in [-1, 1] → maps, finest first."""

    def pooled(images: Tensor) -> Tensor:
        return torch.cat([tap.mean((2, 3)) for tap in trunk(images.float() / 127.5 - 1)[-2:]], dim=1)

    return Extractor(f"domain ({trained_on})", pooled, device, digest, standardized=True)


def pixel_extractor() -> Extractor:
    """Means of 16 x 16 patches in 0..1; a distance is the root mean squared difference of the small pictures."""

    def patches(images: Tensor) -> Tensor:
        return torch.from_numpy(picture_features(images.permute(0, 2, 3, 1).contiguous().cpu().numpy()))

    return Extractor("pixels (means of 16 x 16 patches)", patches)


def _inception(weights: Path, device: torch.device | str, rule: ResizeRule) -> Callable[[Tensor], Tensor]:
    import_torchvision()
    torch.load(weights, map_location="cpu", weights_only=True)  # the package loads without this restriction
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    ).to(device)
    # All but the classifier; its own forward pass begins with TensorFlow's rule of resizing, and takes bytes alone.
    layers = nn.Sequential(*list(network.children())[:-1], nn.Flatten())
    return lambda images: layers((resized(images, 299, rule) - 128) / 128)


def _transformer(
    name: Literal["clip", "dinov2"], weights: Path, device: torch.device | str, rule: ResizeRule
) -> Callable[[Tensor], Tensor]:
    network = VisionTransformer(name, weights).eval().to(device)
    return lambda images: network.whole(resized(images, 224, rule) / 255)
