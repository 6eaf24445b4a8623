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
from core.labeling.interpreter.config import METHOD, InterpreterConfig
from core.labeling.interpreter.labeler import InterpreterLabeler
from core.labeling.interpreter.network import Interpreter
from core.labeling.labeler import Head, Labeler, TrainedLabeler, VotedCollapse
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

    labeler: TrainedLabeler
    info: LabelerInfo


def save_labeler(folder: Path, labeler: TrainedLabeler, info: LabelerInfo) -> LabelerInfo:
    """Write a labeler into ``folder``, made where it is missing; the description last.

    Returns ``info`` with the digest filled in.
    """
    tensors, tasks = _content(labeler)
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save(tensors)
    (folder / WEIGHTS).write_bytes(content)
    info = LabelerInfo(**{**asdict(info), "digest": hashlib.sha256(content).hexdigest()})
    description = {
        "format": FORMAT,
        "info": asdict(info),
        "config": labeler.settings_json(),
        "feature_layers": [list(layer) for layer in labeler.feature_layers],
        "feature_digest": labeler.feature_digest,
        "collapse": labeler.collapse and labeler.collapse._asdict(),
        "tasks": tasks,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return info


def _content(labeler: TrainedLabeler) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Return the tensors of a labeler, and the facts about its tasks."""
    if isinstance(labeler, InterpreterLabeler):
        facts = {"outputs": labeler.voted_classes, "condition_dim": labeler.condition_dim, "report": labeler.report}
        state = {name: one.cpu().contiguous() for name, one in labeler.network.state_dict().items()}
        return state, [{"task": "segmentation", **facts}]
    assert isinstance(labeler, Labeler)
    tensors = {
        f"{head.task}.{name}": tensor.cpu().contiguous()
        for head in labeler.heads
        for name, tensor in ensemble_tensors(head.ensemble).items()
    }
    return tensors, [{"task": one.task, "outputs": one.ensemble.outputs, "report": one.report} for one in labeler.heads]


def load_labeler(folder: Path, device: torch.device | str = "cpu") -> LoadedLabeler:
    """Read what :func:`save_labeler` wrote. Raises :class:`LabelerError` when it is missing, damaged or misfit."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        content = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError) as error:
        raise LabelerError(f"{folder.name} holds no labeler", [Problem(str(error), DESCRIPTION)]) from None
    if not isinstance(description, dict) or description.get("format") not in (FORMAT, FIRST_FORMAT):
        raise LabelerError(f"{folder.name} holds no labeler", [Problem(f"format is not {FORMAT}", DESCRIPTION)])
    settings = description.get("config")
    config: LabelerConfig | InterpreterConfig
    interpreter = isinstance(settings, dict) and settings.get("method") == METHOD
    config = InterpreterConfig.from_json(settings) if interpreter else LabelerConfig.from_json(settings)
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
    if isinstance(config, InterpreterConfig):
        (about,) = description["tasks"]
        network = _interpreter(layers, about, config, tensors)
        found = InterpreterLabeler(
            network, int(about["outputs"]), layers, int(about["condition_dim"]), config, feature_digest,
            dict(about["report"]), collapse,
        )  # fmt: skip
        return LoadedLabeler(found.to(device), info)
    channels = SelectedLayers(layers, config).channels
    heads = []
    for task, outputs, report in tasks:
        mine = {n.removeprefix(f"{task}."): tensor for n, tensor in tensors.items() if n.startswith(f"{task}.")}
        heads.append(Head(task, _ensemble(mine, config, channels, outputs), report))
        if task == "segmentation" and collapse is not None and len(collapse.targets) != outputs:
            raise LabelerError(f"{folder.name} is damaged", [Problem(f"not {outputs} ids of collapse", DESCRIPTION)])
    return LoadedLabeler(Labeler(tuple(heads), layers, config, feature_digest, collapse).to(device), info)


def _interpreter(
    layers: tuple[FeatureLayer, ...], about: dict[str, Any], config: InterpreterConfig, tensors: dict[str, Tensor]
) -> Interpreter:
    """Return the network of an interpreter with these weights. Raises :class:`LabelerError` where they do not fit."""
    outputs = 1 if int(about["outputs"]) == 2 else int(about["outputs"])
    network = Interpreter(layers, int(about["condition_dim"]), outputs, config)
    wanted = network.state_dict()
    problems = [
        Problem(f"missing, or not finite floats of shape {list(one.shape)}", name)
        for name, one in wanted.items()
        if name not in tensors or not _fits(tensors[name], tuple(one.shape))
    ]
    if problems:
        raise LabelerError("the labeler's weights do not fit its settings", problems)
    network.load_state_dict({name: tensors[name].clone() for name in wanted})
    return network.eval().requires_grad_(False)


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
