"""A labeler on disk: ``labeler.json`` (settings, class map, digests, scores) beside ``labeler.safetensors``."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from core.errors import LabelerError, Problem
from core.generators.interface import FeatureLayer
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import FoldedEnsemble, ensemble_from, ensemble_tensors
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.labeler import Head, Labeler, VotedCollapse
from core.tasks.task import TASKS

DESCRIPTION = "labeler.json"
WEIGHTS = "labeler.safetensors"
FORMAT = "offhand-labeler/3"
FIRST_FORMAT = "offhand-labeler/2"
"""Of the first release: no family and no digest of the features."""


@dataclass(frozen=True)
class LabelerInfo:
    """Where a labeler comes from and what it was found to be worth. JSON values."""

    classes: dict[str, Any]
    """Class map in its canonical form: ``{"classes": [{"id": 0, "name": …}, …], "ignore_index": 255}``."""
    generator_digest: str
    """SHA-256 of the generator's weights."""
    family: str = ""
    """Family of the generator; empty in files of the first release."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Sampling settings that the features were synthesised with."""
    label_set_digest: str = ""
    keypoints: list[str] = field(default_factory=list)
    """Names of the keypoints, in order."""
    depth_unit: str = ""
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
    tensors = {
        f"{head.task}.{name}": tensor.cpu().contiguous()
        for head in labeler.heads
        for name, tensor in ensemble_tensors(head.ensemble).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save(tensors)
    (folder / WEIGHTS).write_bytes(content)
    info = LabelerInfo(**{**asdict(info), "digest": hashlib.sha256(content).hexdigest()})
    description = {
        "format": FORMAT,
        "info": asdict(info),
        "config": labeler.config.to_json(),
        "feature_layers": [list(layer) for layer in labeler.feature_layers],
        "feature_digest": labeler.feature_digest,
        "collapse": labeler.collapse and labeler.collapse._asdict(),
        "tasks": [
            {"task": head.task, "outputs": head.ensemble.outputs, "report": head.report} for head in labeler.heads
        ],
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
    if not isinstance(description, dict) or description.get("format") not in (FORMAT, FIRST_FORMAT):
        raise LabelerError(f"{folder.name} holds no labeler", [Problem(f"format is not {FORMAT}", DESCRIPTION)])
    config = LabelerConfig.from_json(description.get("config"))
    try:
        info = LabelerInfo(**description["info"])
        layers = tuple(FeatureLayer(str(n), int(c), int(h), int(w)) for n, c, h, w in description["feature_layers"])
        feature_digest = str(description.get("feature_digest", ""))
        collapse = _collapse(description.get("collapse"))
        tasks = [(task["task"], int(task["outputs"]), dict(task["report"])) for task in description["tasks"]]
        if not tasks or not {task for task, _, _ in tasks} <= set(TASKS):
            raise ValueError("tasks")
    except (KeyError, TypeError, ValueError) as error:
        raise LabelerError(f"{folder.name} is damaged", [Problem(f"wrong: {error}", DESCRIPTION)]) from None
    if hashlib.sha256(content).hexdigest() != info.digest:
        raise LabelerError(f"{folder.name} is damaged", [Problem("not the file that was described", WEIGHTS)])
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise LabelerError("the labeler's weights cannot be read", [Problem(str(error), WEIGHTS)]) from None
    channels = SelectedLayers(layers, config).channels
    heads = []
    for task, outputs, report in tasks:
        mine = {n.removeprefix(f"{task}."): tensor for n, tensor in tensors.items() if n.startswith(f"{task}.")}
        heads.append(Head(task, _ensemble(mine, config, channels, outputs), report))
        if task == "segmentation" and collapse is not None and len(collapse.targets) != outputs:
            raise LabelerError(f"{folder.name} is damaged", [Problem(f"not {outputs} ids of collapse", DESCRIPTION)])
    return LoadedLabeler(Labeler(tuple(heads), layers, config, feature_digest, collapse).to(device), info)


def _collapse(values: dict[str, Any] | None) -> VotedCollapse | None:
    if values is None:
        return None
    targets, count = tuple(values["targets"]), values["class_count"]
    if not all(isinstance(one, int) and 0 <= one <= 255 for one in (*targets, count)):
        raise ValueError("collapse holds what is no class id")
    return VotedCollapse(targets, count)


def _ensemble(tensors: dict[str, Tensor], config: LabelerConfig, channels: int, outputs: int) -> FoldedEnsemble:
    members, widths = config.members, [*config.hidden, outputs]
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
    return ensemble_from({name: tensors[name].clone() for name in shapes}, members)


def _fits(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    return tensor.dtype == torch.float32 and tuple(tensor.shape) == shape and bool(tensor.isfinite().all())
