"""Inputs of steps: the generator with its encoder and perceptual distance, label sets, inversions, labelers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from core.errors import GeneratorError, Problem
from core.generators.files import DESCRIPTION, WEIGHTS, load_generator
from core.generators.interface import Codes, Generator, GeneratorInfo
from core.generators.stylegan2 import aliases
from core.inversion.code_encoder import CodeEncoder
from core.inversion.encoder import load_encoder
from core.inversion.perceptual.choice import choose_perceptual
from core.inversion.perceptual.distance import Perceptual
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import LabelSet
from core.label_sets.storage import load_label_set
from core.training.images import PackedImages
from store.errors import NotFound
from store.requests.inversion import FramingSpec
from store.resources.artifacts import Made
from store.resources.files import list_files
from store.resources.generators import Generator as GeneratorRow
from store.resources.generators import get_generator
from store.resources.image_sets import PACKED, get_image_set
from store.resources.quality_reports import FOLDER as REPORTS
from store.resources.reports import label_set_report
from worker.runtime.step_context import StepContext
from worker.steps.label_sets.framing import framed
from worker.weights.folders import perceptual_caches

#: Name of an inversion's codes among its files. Inversions of the first release have another one.
CODES, FIRST_CODES = "codes.safetensors", "latents.safetensors"
#: Prefix of the tensors of mirror images; the others are those of the labelled images.
MIRRORED = "mirrored."
#: Name of the class indices beside the parts of the codes.
CLASS_INDEX = "class_index"
#: Name of an inversion's or a labeler's report among its files.
REPORT = "report.json"


@dataclass(frozen=True)
class Source:
    """A loaded generator. `folder()`: where its files are, the weights of an imported one left out.

    `inversion_digest`: digests of all that inversion uses of it (generator, encoder, perceptual trunk), by name; empty
    where there is none.
    """

    row: GeneratorRow
    folder: Callable[[], Path]
    generator: Generator
    device: str
    inversion_digest: dict[str, str]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its images."""
        return self.generator.resolution

    @property
    def info(self) -> GeneratorInfo:
        """Facts of the generator."""
        return self.generator.info


def load_source(context: StepContext, generator: str) -> Source:
    """Return a generator, by name or id, on the child's device. Raises GeneratorError when it is not the one that is
    registered, NotFound.
    """
    prepare_torch(context)
    row = get_generator(context.db, generator, tenant=context.tenant)
    device = context.models.device
    shipped = _shipped_folder(context, row) if row.builtin else None
    loaded = context.models.get(
        f"generator {row.digest} {device}", lambda: load_generator(shipped or _fetched(context, row, [WEIGHTS]), device)
    )
    if loaded.info.digest != row.digest:
        problem = Problem(f"weights {loaded.info.digest} where {row.digest} are registered", row.name)
        raise GeneratorError("this worker has another version of the generator", [problem])
    kept = {file.name: file for file in list_files(context.db, row.id, tenant=context.tenant)}
    digests = {"generator": row.digest}
    for name in ("encoder", "perceptual"):
        weights = kept.get(f"{name}.safetensors")
        digests[name] = _described_digest(shipped / f"{name}.json") if shipped else weights.sha256 if weights else ""
    beside = [name for name in kept if name != WEIGHTS and not name.startswith(REPORTS)]

    def folder() -> Path:
        return shipped or _fetched(context, row, beside)

    return Source(row, folder, loaded, device, digests)


def _shipped_folder(context: StepContext, row: GeneratorRow) -> Path:
    shipped = context.settings.shipped_folder
    if shipped is None or not (shipped / row.name).is_dir():
        raise NotFound(f"the files of the generator {row.name!r} are not on this worker")
    return shipped / row.name


def _fetched(context: StepContext, row: GeneratorRow, names: Sequence[str]) -> Path:
    """A temporary folder with the description and the named files of an imported generator; fetched once a shard."""
    folder = context.folder / row.id
    folder.mkdir(exist_ok=True)
    for name in {DESCRIPTION, *names}:
        if not (folder / name).exists():
            context.fetch(row.id, name, into=folder)
    return folder


def load_inverters(context: StepContext, source: Source) -> tuple[CodeEncoder | None, Perceptual]:
    """The generator's encoder, if it has one, and the perceptual distance to invert with. Raises InversionError."""
    weights, caches = context.settings.worker.perceptual_weights, perceptual_caches(context.settings)
    key = f"{json.dumps(source.inversion_digest, sort_keys=True)} {source.device}"
    encoder = context.models.get(f"encoder {key}", lambda: load_encoder(source.folder(), source.device))
    perceptual = context.models.get(
        f"perceptual {key}",
        lambda: choose_perceptual(
            source.folder(), Path(weights) if weights else None, source.device, source.size, caches
        ),
    )
    return encoder, perceptual


def load_labels(context: StepContext, label_set_id: str) -> LabelSet:
    """A stored label set, mapped to files in the shard's folder."""
    folder = context.folder / label_set_id
    context.fetch_all(label_set_id, folder)
    return load_label_set(folder)


def load_images(context: StepContext, image_set: str) -> PackedImages:
    """Return the images of an image set, by name or id, mapped to a verified copy in the shard's folder. Raises
    NotFound, DamagedObject, ShardError.
    """
    row = get_image_set(context.db, image_set, tenant=context.tenant)
    folder = context.folder / row.id
    folder.mkdir(exist_ok=True)
    if not (folder / PACKED).exists():
        context.fetch(row.id, PACKED, into=folder)
    return PackedImages(folder / PACKED)


def fitted_labels(context: StepContext, label_set_id: str, source: Source, asked: FramingSpec) -> LabelSet:
    """Return the label set in the generator's frame, brought there as the request asks for."""
    return framed(load_labels(context, label_set_id), source.size, asked)


def class_map(label_set: Made) -> ClassMap:
    """Ids and names of a stored label set's classes, without its images."""
    report = label_set_report(label_set)
    if not report.classes:
        return ClassMap({}, report.ignore_index)
    return ClassMap({one.id: one.name for one in report.classes}, report.ignore_index)


def other_labels(labels: LabelSet) -> dict[str, Any]:
    """Return what a label set has besides classes: its tasks, names of keypoints, unit of depth. JSON values."""
    return {
        "tasks": list(labels.tasks),
        "keypoints": labels.keypoints.to_json() if labels.keypoints else [],
        "depth": labels.depth.to_json() if labels.depth else None,
    }


def codes_content(codes: Codes, mirrored: Codes | None) -> bytes:
    """Return the codes of an inversion as the content of its file."""
    tensors = _named(codes, "") | ({} if mirrored is None else _named(mirrored, MIRRORED))
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})


def load_codes(context: StepContext, inversion_id: str) -> Codes:
    """Return the codes of an inversion in the order of the label set; after them, in the same order, those of the
    mirror images where these were inverted.
    """
    # A folder of its own: what is loaded may still be mapped when the codes of another inversion are fetched.
    folder = context.folder / f"codes-{inversion_id}"
    folder.mkdir(exist_ok=True)
    names = {file.name for file in list_files(context.db, inversion_id, tenant=context.tenant)}
    if CODES not in names and FIRST_CODES in names:
        tensors = safetensors.torch.load_file(context.fetch(inversion_id, FIRST_CODES, into=folder))
        tensors = aliases.codes_of_first_release(tensors, MIRRORED)
    else:
        tensors = safetensors.torch.load_file(context.fetch(inversion_id, CODES, into=folder))
    plain = {name: tensor for name, tensor in tensors.items() if not name.startswith(MIRRORED)}
    mirrored = {name.removeprefix(MIRRORED): tensor for name, tensor in tensors.items() if name.startswith(MIRRORED)}
    return Codes.cat([_codes(one) for one in (plain, mirrored) if one])


def _named(codes: Codes, prefix: str) -> dict[str, Tensor]:
    classes = {} if codes.class_index is None else {CLASS_INDEX: codes.class_index}
    return {prefix + name: tensor for name, tensor in (dict(codes.parts) | classes).items()}


def _codes(tensors: dict[str, Tensor]) -> Codes:
    parts = {name: tensor for name, tensor in tensors.items() if name != CLASS_INDEX}
    return Codes(parts, tensors.get(CLASS_INDEX))


def prepare_torch(context: StepContext) -> None:
    """Threads as set, and arithmetic that repeats: the same inputs give the same bits on the same machine."""
    if context.settings.worker.threads:
        torch.set_num_threads(context.settings.worker.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _described_digest(path: Path) -> str:
    if not path.is_file():
        return ""
    return str(json.loads(path.read_text("utf-8"))["digest"])
