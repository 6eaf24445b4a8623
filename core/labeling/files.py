"""A labeler on disk: ``labeler.json`` (settings, class map, digests, scores) beside ``labeler.safetensors``."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from core.errors import LabelerError, Problem
from core.generators.stylegan2 import FeatureLayer, Noise
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import FoldedEnsemble
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.labeler import Labeler

DESCRIPTION = "labeler.json"
WEIGHTS = "labeler.safetensors"
FORMAT = "offhand-labeler/1"


@dataclass(frozen=True)
class LabelerInfo:
    """Where a labeler comes from and what it was found to be worth. JSON values."""

    classes: dict[str, Any]
    """Class map in its canonical form: ``{"classes": [{"id": 0, "name": …}, …], "ignore_index": 255}``."""
    generator_digest: str
    """SHA-256 of the generator's weights."""
    label_set_digest: str = ""
    scores: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    """SHA-256 of the labeler's weights file; filled in when it is written."""


class LoadedLabeler(NamedTuple):
    """A labeler and what is known about it."""

    labeler: Labeler
    info: LabelerInfo


def save_labeler(folder: Path, labeler: Labeler, info: LabelerInfo) -> LabelerInfo:
    """Write a labeler into ``folder``, made where it is missing; the description last.

    Returns ``info`` with the digest filled in.
    """
    ensemble = labeler.ensemble
    tensors = {"first.weight": ensemble.first_weight, "first.bias": ensemble.first_bias}
    for depth, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        tensors |= {f"{depth}.weight": weight, f"{depth}.bias": bias}
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    (folder / WEIGHTS).write_bytes(content)
    info = LabelerInfo(**{**asdict(info), "digest": hashlib.sha256(content).hexdigest()})
    description = {
        "format": FORMAT,
        "info": asdict(info),
        "config": labeler.config.to_json(),
        "feature_layers": [list(layer) for layer in labeler.feature_layers],
        "noise": labeler.noise,
        "class_count": labeler.class_count,
        "report": labeler.report,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return info


def load_labeler(folder: Path, device: torch.device | str = "cpu") -> LoadedLabeler:
    """Read what :func:`save_labeler` wrote. Raises :class:`LabelerError` when it is missing, damaged or misfit."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        content = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError) as error:
        raise LabelerError(f"{folder.name} holds no labeler", [Problem(str(error), DESCRIPTION)]) from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise LabelerError(f"{folder.name} holds no labeler", [Problem(f"format is not {FORMAT}", DESCRIPTION)])
    config = LabelerConfig.from_json(description.get("config"))
    try:
        info = LabelerInfo(**description["info"])
        layers = tuple(FeatureLayer(str(n), int(c), int(h), int(w)) for n, c, h, w in description["feature_layers"])
        noise, class_count, report = description["noise"], int(description["class_count"]), dict(description["report"])
        if noise not in get_args(Noise):
            raise ValueError(f"noise {noise!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise LabelerError(f"{folder.name} is damaged", [Problem(f"wrong: {error}", DESCRIPTION)]) from None
    if hashlib.sha256(content).hexdigest() != info.digest:
        raise LabelerError(f"{folder.name} is damaged", [Problem("not the file that was described", WEIGHTS)])
    ensemble = _ensemble(content, config, SelectedLayers(layers, config).channels, class_count)
    return LoadedLabeler(Labeler(ensemble, layers, config, noise, report).to(device), info)


def _ensemble(content: bytes, config: LabelerConfig, channels: int, class_count: int) -> FoldedEnsemble:
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise LabelerError("the labeler's weights cannot be read", [Problem(str(error), WEIGHTS)]) from None
    members, widths = config.members, [*config.hidden, class_count]
    shapes: dict[str, tuple[int, ...]] = {
        "first.weight": (channels, members * widths[0]),
        "first.bias": (members * widths[0],),
    }
    for depth in range(len(config.hidden)):
        shapes[f"{depth}.weight"] = (members, widths[depth], widths[depth + 1])
        shapes[f"{depth}.bias"] = (members, 1, widths[depth + 1])
    problems = [
        Problem(f"missing, or not finite floats of shape {list(shape)}", name)
        for name, shape in shapes.items()
        if name not in tensors or not _fits(tensors[name], shape)
    ]
    if problems:
        raise LabelerError("the labeler's weights do not fit its settings", problems)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    depths = range(len(config.hidden))
    return FoldedEnsemble(
        tensors["first.weight"],
        tensors["first.bias"],
        tuple(tensors[f"{depth}.weight"] for depth in depths),
        tuple(tensors[f"{depth}.bias"] for depth in depths),
    )


def _fits(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    return tensor.dtype == torch.float32 and tuple(tensor.shape) == shape and bool(tensor.isfinite().all())
