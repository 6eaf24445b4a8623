"""Image classifiers of torchvision and timm, with weights from a file, that judge drawn images."""

import importlib
import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.digests import sha256_of
from core.errors import Problem, SamplingError
from core.torchvision_import import import_torchvision

#: Side in pixels, mean and deviation of the images that ImageNet classifiers expect.
_SIDE = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Classifier:
    """A classifier whose classes are those of a generator, in its order."""

    name: str
    network: nn.Module
    digest: str = ""
    """SHA-256 (hex) of the weights file."""

    @torch.inference_mode()
    def confidence(self, images: Tensor, class_index: Tensor) -> Tensor:
        """Return the probability of the given class of each image, float [N].

        images: float [N, C, H, W] in [-1, 1]. class_index: int64 [N]. Images are resized to 224 pixels.
        """
        grey = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        unit = ((grey.clamp(-1, 1) + 1) / 2).float()
        sized = F.interpolate(unit, (_SIDE, _SIDE), mode="bilinear", align_corners=False, antialias=True)
        mean, std = (torch.tensor(one, device=sized.device)[:, None, None] for one in (_MEAN, _STD))
        probabilities: Tensor = self.network((sized - mean) / std).softmax(1)
        return probabilities.gather(1, class_index[:, None])[:, 0]


def load_classifier(name: str, path: Path, classes: int, device: torch.device | str = "cpu") -> Classifier:
    """Return the torchvision or timm classifier ``name`` with the state dictionary in ``path``.

    classes: of the generator; the classifier must have as many. Raises :class:`SamplingError` for an unknown name, a
    damaged file, and weights of another architecture or number of classes.
    """
    network = _built(name, classes)
    try:
        state = _state(path)
        network.load_state_dict(state)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        detail = f"expected {name} with {classes} classes: {str(error).strip().splitlines()[-1].strip()}"
        raise SamplingError("this classifier cannot be used", [Problem(detail[:300], path.name)]) from None
    return Classifier(name, network.eval().requires_grad_(False).to(device), sha256_of(path))


def _built(name: str, classes: int) -> nn.Module:
    models = import_torchvision().models
    if name in models.list_models(module=models):
        found: nn.Module = models.get_model(name, weights=None, num_classes=classes)
        return found
    if importlib.util.find_spec("timm") is not None:
        timm: Any = importlib.import_module("timm")
        if timm.is_model(name):
            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
            return network
    problem = Problem("neither torchvision nor an installed timm has an architecture of this name", name)
    raise SamplingError("unknown classifier", [problem])


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ValueError("not a state dictionary")
    return content
