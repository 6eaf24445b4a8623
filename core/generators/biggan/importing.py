"""Checkpoints of BigGAN projects → a generator."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.content import CheckpointContent
from core.checkpoints.state_dicts import Marks, StateDict, choose, read_all, state_dicts, tables
from core.checkpoints.values import StoredTensor
from core.generators.answers import Answers
from core.generators.biggan.checkpoints import ajbrock, huggingface
from core.generators.biggan.checkpoints.found import Found
from core.generators.biggan.generator import BigGANGenerator
from core.generators.biggan.network import Network
from core.generators.interface import GeneratorInfo, ReadGenerator
from core.torchvision_import import import_torchvision

_MARKS: Marks = {"ajbrock": ajbrock.MARKS, "huggingface": huggingface.MARKS}
_IMAGENET = 1000


def read_checkpoint(content: CheckpointContent, answers: Answers) -> ReadGenerator | None:
    """Read a checkpoint of ajbrock/BigGAN-PyTorch, a port of a TFHub module, or Hugging Face's BigGAN-deep; None for
    another kind.

    Raises :class:`core.errors.CheckpointError` for such a file that cannot be used, or leaves a question open.
    """
    chosen = _chosen(content, answers)
    if chosen is None:
        return None
    found = _found(chosen, content, answers)
    with torch.device("meta"):
        network = Network(found.config)
    network.load_state_dict(found.state, assign=True)
    classes, notes = class_names(found.config.classes)
    generator = BigGANGenerator(network.eval().requires_grad_(False), GeneratorInfo("", classes=classes))
    return ReadGenerator(generator, found.format, found.network, notes=(*found.notes, *notes))


def _chosen(content: CheckpointContent, answers: Answers) -> StateDict[Tensor] | None:
    if content.tensors is not None:
        read = state_dicts(content.tensors, _MARKS)
        return choose(read, answers.network) if read else None
    stored: list[StateDict[StoredTensor]] = []
    for place, tensors, _ in tables(content.value):
        stored += state_dicts(tensors, _MARKS, place)
    if not stored:
        return None
    one = choose(stored, answers.network)
    return StateDict(one.name, one.layout, read_all(one.tensors, content.limits))


def _found(chosen: StateDict[Tensor], content: CheckpointContent, answers: Answers) -> Found:
    if chosen.layout == "huggingface":
        document = content.documents.get(huggingface.CONFIG)
        return huggingface.read_huggingface(chosen.tensors, chosen.name, document, answers)
    return ajbrock.read_ajbrock(chosen.tensors, chosen.name, _run_config(content.value), answers)


def _run_config(value: Any) -> Mapping[str, Any]:
    """Return the configuration that a run of ajbrock/BigGAN-PyTorch stores (``state_dict.pth``), or nothing."""
    tables_of_run = [value, value.get("state_dict")] if type(value) is dict else []
    for table in tables_of_run:
        config = table.get("config") if type(table) is dict else None
        if type(config) is dict and "G_ch" in config:
            return config
    return {}


def class_names(classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the classes and notes: those of ImageNet for a generator of 1000 classes, else none.

    The names come from torchvision (BSD-3-Clause), in the order of the sorted WordNet ids.
    """
    if classes != _IMAGENET:
        return (), ()
    categories = import_torchvision().models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    note = "Its 1000 classes are named as those of ImageNet; give `classes` where it was trained on others."
    return tuple(map(str, categories)), (note,)
