"""The contract between generator families and everything that uses a generator.

A :class:`Generator` is a loaded network with its facts. Binding it to settings gives a :class:`Sampler`, which draws
codes and turns codes into images and features. Labeling, sampling, evaluation and the worker know these protocols
alone; what a family's codes mean stays in the family's folder. :mod:`core.generators.families` lists the families.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from contracts.sampling_settings import violations, with_defaults, with_own_defaults
from core.checkpoints.content import CheckpointContent
from core.errors import GeneratorError, Problem
from core.generators.answers import Answers
from core.run import Run

PartType = Literal["float32", "int16", "int64"]
LabelledBy = Literal["inversion", "encoder", "samples"]
"""How codes of labelled images are obtained: gradient descent, one forward pass of an encoder of the family, or
labelling drawn samples, whose codes are stored."""

_TYPES = {"float32": torch.float32, "int16": torch.int16, "int64": torch.int64}


@dataclass(frozen=True)
class PartSpec:
    """One tensor of a code: its shape without the batch, and its type."""

    shape: tuple[int, ...]
    dtype: PartType = "float32"
    drawn_rows: int | None = None
    """Distinct rows of a code that is drawn with the default settings; None: all. Equal rows are stored once."""

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type in torch."""
        return _TYPES[self.dtype]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`CodeSpec.from_json` reads."""
        repeats = {} if self.drawn_rows is None else {"drawn_rows": self.drawn_rows}
        return {"shape": list(self.shape), "dtype": self.dtype, **repeats}


@dataclass(frozen=True)
class CodeSpec:
    """The parts of a family's codes, by name."""

    parts: Mapping[str, PartSpec] = field(hash=False)
    classes: int = 0
    """Classes that samples are drawn from; 0 for an unconditional generator."""
    needs_class: bool = False
    """Whether synthesis uses the class, so that a code is incomplete without it."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads."""
        parts = {name: part.to_json() for name, part in self.parts.items()}
        return {"parts": parts, "classes": self.classes, "needs_class": self.needs_class}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "CodeSpec":
        """Read what :meth:`to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        parts = {}
        for name, part in values["parts"].items():
            if part["dtype"] not in _TYPES:
                raise ValueError(f"the part {name} has the type {part['dtype']!r}")
            rows = part.get("drawn_rows")
            shape = tuple(int(side) for side in part["shape"])
            parts[str(name)] = PartSpec(shape, part["dtype"], None if rows is None else int(rows))
        return cls(parts, int(values["classes"]), bool(values["needs_class"]))

    def check(self, codes: "Codes") -> None:
        """Raise :class:`GeneratorError` that names every part of ``codes`` that differs from this specification."""
        problems = [Problem("missing", name) for name in self.parts.keys() - codes.parts.keys()]
        problems += [Problem("unexpected part", name) for name in codes.parts.keys() - self.parts.keys()]
        for name in self.parts.keys() & codes.parts.keys():
            wanted, given = self.parts[name], codes.parts[name]
            if tuple(given.shape[1:]) != wanted.shape or given.is_floating_point() != (wanted.dtype == "float32"):
                expected = ", ".join(map(str, ("N", *wanted.shape)))
                found = f"{given.dtype} {list(given.shape)}"
                problems.append(Problem(f"expected {wanted.dtype} [{expected}], found {found}", name))
            elif given.is_floating_point() and not bool(given.isfinite().all()):
                problems.append(Problem("not finite", name))
        if codes.class_index is None:
            if self.needs_class:
                problems.append(Problem(f"expected a class index from 0 to {self.classes - 1}", "class_index"))
        elif not bool(((codes.class_index >= 0) & (codes.class_index < self.classes)).all()):
            problems.append(Problem(f"not from 0 to {self.classes - 1}", "class_index"))
        if problems:
            raise GeneratorError("codes do not fit this generator", sorted(problems, key=lambda one: one.pointer))


@dataclass(frozen=True, eq=False)
class Codes:
    """Latent codes of N images: ``parts`` by name, each [N, ...]; ``class_index``: int64 [N], or None."""

    parts: Mapping[str, Tensor]
    class_index: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> "Codes":
        """Select images; a list or an int64 tensor selects in its order."""
        chosen = index if isinstance(index, slice | Tensor) else torch.as_tensor(list(index), dtype=torch.long)
        classes = None if self.class_index is None else self.class_index[chosen]
        return Codes({name: part[chosen] for name, part in self.parts.items()}, classes)

    def to(self, device: torch.device | str) -> "Codes":
        """Return the codes on ``device``."""
        classes = None if self.class_index is None else self.class_index.to(device)
        return Codes({name: part.to(device) for name, part in self.parts.items()}, classes)

    def split(self, size: int) -> Iterator["Codes"]:
        """Yield the codes in order, ``size`` images at a time."""
        for first in range(0, len(self), size):
            yield self[first : first + size]

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in the order of the names."""
        found = [self.parts[name] for name in sorted(self.parts)]
        return found if self.class_index is None else [*found, self.class_index]

    @staticmethod
    def cat(several: Sequence["Codes"]) -> "Codes":
        """Join codes of one generator."""
        names = several[0].parts
        classes = [one.class_index for one in several if one.class_index is not None]
        return Codes(
            {name: torch.cat([one.parts[name] for one in several]) for name in names},
            torch.cat(classes) if classes else None,
        )


class FeatureLayer(NamedTuple):
    """One feature tensor: its name and its shape without the batch."""

    name: str
    channels: int
    height: int
    width: int

    @property
    def group(self) -> int:
        """The longer side in pixels: layers of one group have one resolution."""
        return max(self.height, self.width)


class Synthesis(NamedTuple):
    """The result of one forward pass.

    image: float [N, C, H, W], nominal range [-1, 1], not clamped. features: [N, C_l, h_l, w_l] for each layer, in the
    order of ``layers``; empty unless requested. condition: class embedding float [N, D] of a conditional family, or
    None.
    """

    image: Tensor
    features: tuple[Tensor, ...] = ()
    condition: Tensor | None = None


class FeatureSource(Protocol):
    """All that a labeler knows of what it reads."""

    @property
    def layers(self) -> tuple[FeatureLayer, ...]:
        """Feature layers in the order of ``Synthesis.features``."""
        ...

    @property
    def condition_dim(self) -> int:
        """Width of ``Synthesis.condition``; 0 without classes."""
        ...

    @property
    def feature_digest(self) -> str:
        """SHA-256 (hex) of all that features of a given code depend on: weights, prepared statistics, the settings
        that change synthesis, precision. A labeler is valid for sources of equal digests.
        """
        ...

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def synthesize(self, codes: Codes, with_features: bool = False) -> Synthesis:
        """Codes → images, and on request every layer's features from the same pass. Differentiable by the float parts
        of the codes. Raises :class:`GeneratorError` for codes of another generator.
        """
        ...

    def check_codes(self, codes: Codes) -> None:
        """Raise :class:`GeneratorError` that names every part of ``codes`` that does not fit."""
        ...

    def tensors(self) -> Sequence[Tensor]:
        """Weights and statistics that synthesis uses, in a fixed order: the identity of an unsaved generator."""
        ...


class Sampler(FeatureSource, Protocol):
    """A generator bound to settings. Immutable."""

    @property
    def generator(self) -> "Generator":
        """What was bound."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Complete settings, defaults included: JSON values."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of generator, all settings, prepared statistics and precision."""
        ...

    def draw(self, seed: int, indices: Sequence[int], class_index: Sequence[int] | None = None) -> Codes:
        """Return the codes of samples ``indices`` of the stream ``seed``, on the sampler's device. Each depends on
        (seed, index, class) alone. class_index: one for each sample of a conditional generator.
        """
        ...


@runtime_checkable
class Invertible(Sampler, Protocol):
    """A sampler whose codes can be fitted to photographs by gradient descent.

    One part of the code is free: [N, rows, width] floats, where codes with equal rows are those that the generator
    draws itself.
    """

    @property
    def rows(self) -> int:
        """Rows of the free part."""
        ...

    @property
    def width(self) -> int:
        """Numbers in a row."""
        ...

    @property
    def one_row(self) -> bool:
        """Whether photographs are best fitted with one row repeated, unless the caller chooses otherwise."""
        ...

    @property
    def centre(self) -> Tensor:
        """Mean row of drawn codes, float [width]."""
        ...

    def random_rows(self, count: int, seed: int) -> Tensor:
        """Return rows of drawn codes without truncation, float [count, width]; of random classes, if there are any."""
        ...

    def free_part(self, codes: Codes) -> Tensor:
        """Return the free part of codes, float [N, rows, width]."""
        ...

    def codes_of(self, free: Tensor) -> Codes:
        """Return the codes whose free part is float [N, rows, width]."""
        ...

    def image_of(self, free: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """Free parts [N, rows, width] → images float [N, C, H, W], not clamped. maps: fitted noise maps, one
        [N, 1, h, w] for each layer with noise; none for the sampler's own noise.
        """
        ...

    def noise_maps(self, count: int) -> tuple[Tensor, ...]:
        """Return noise maps to fit from, [count, 1, h, w] each, of mean 0 and variance 1. Raises
        :class:`core.errors.InversionError` where the generator has no noise.
        """
        ...


@runtime_checkable
class Encodes(Sampler, Protocol):
    """A sampler of a family that has an encoder of its own: one forward pass gives the codes of photographs."""

    def encode(self, images: Tensor, class_index: Sequence[int] | None = None) -> Codes:
        """Images float [N, C, H, W] in [-1, 1] → codes. class_index: one for each image where codes need a class.
        Raises :class:`GeneratorError` for images of another size, or without classes where codes need them.
        """
        ...


class Prepared(Protocol):
    """What a family computes once for given settings and stores, such as the statistics of a truncation."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content."""
        ...

    def to_bytes(self) -> bytes:
        """Return the content of the stored artifact."""
        ...


class Generator(Protocol):
    """A loaded generator: frozen float32 weights and facts."""

    @property
    def family(self) -> str:
        """Name of the family in :data:`core.generators.families.FAMILIES`."""
        ...

    @property
    def info(self) -> "GeneratorInfo":
        """Name, licence, digest and other facts."""
        ...

    @property
    def resolution(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        ...

    @property
    def channels(self) -> int:
        """Colour channels: 1 or 3."""
        ...

    @property
    def code(self) -> CodeSpec:
        """Specification of the codes."""
        ...

    @property
    def layers(self) -> tuple[FeatureLayer, ...]:
        """Feature layers."""
        ...

    @property
    def settings_schema(self) -> Mapping[str, Any]:
        """JSON Schema (an object) of the sampling settings, with the defaults of ``info.sampling``; stored with the
        generator and used to validate requests.
        """
        ...

    @property
    def labelled_by(self) -> frozenset[LabelledBy]:
        """How labelled images get their codes."""
        ...

    @property
    def preview_settings(self) -> Sequence[Mapping[str, float]]:
        """Settings of the rows of a preview, such as three truncations."""
        ...

    def with_info(self, info: "GeneratorInfo") -> "Generator":
        """Return the same generator with other facts."""
        ...

    def config_json(self) -> dict[str, Any]:
        """Return the architecture as JSON values: what the family reads back."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights by name."""
        ...

    def prepare(self, settings: Mapping[str, Any], run: Run) -> Prepared | None:
        """Compute what :meth:`bind` needs for these settings and should be stored; None where nothing is needed."""
        ...

    def bind(self, settings: Mapping[str, Any] | None = None, prepared: bytes | None = None) -> Sampler:
        """Return a sampler. settings: JSON values by the schema; absent ones take their defaults. prepared: content of
        the stored artifact of :meth:`prepare`. Raises :class:`GeneratorError` for settings outside of the schema.
        """
        ...


@dataclass(frozen=True)
class GeneratorInfo:
    """Facts about a generator besides its architecture."""

    name: str
    licence: str = ""
    domain: str = ""
    """What it draws, in a few words."""
    digest: str = ""
    """SHA-256 (hex) of the weights file; filled in when the generator is written."""
    classes: tuple[str, ...] = ()
    """Class names of a conditional generator, in the order of the class index."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the family's own: JSON values."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of sampling settings where they are not the family's: JSON values."""


class Family(Protocol):
    """A generator family: how its generators are read. One instance for each family, in ``families.py``."""

    @property
    def name(self) -> str:
        """Name in ``generator.json``."""
        ...

    def describe(self, config: Any) -> "Description":
        """Read an architecture without its weights. Raises :class:`GeneratorError` that names every wrong field."""
        ...

    def build(
        self, config: Any, info: GeneratorInfo, state: Mapping[str, Tensor], device: torch.device | str
    ) -> Generator:
        """Build a generator from weights. Raises :class:`GeneratorError` for tensors that do not fit."""
        ...

    def read_checkpoint(self, content: CheckpointContent, answers: Answers) -> "ReadGenerator | None":
        """Read a checkpoint of another project; None where the file is of no kind that the family knows.

        Raises :class:`core.errors.CheckpointError` for a file of the family that cannot be used, with a question for
        what the file does not state.
        """
        ...

    def examine(self, generator: Generator, incomplete: bool, run: Run) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return findings about a freshly read generator for its import report, and notes for people. Of the findings,
        ``findings`` are lines of text by label, which clients show. incomplete: the file lacked what can be measured;
        it is filled in.
        """
        ...

    def parameters(self, generator: Generator) -> int:
        """Return how many numbers were trained."""
        ...


class ReadGenerator(NamedTuple):
    """A generator as its file has it. incomplete: see :meth:`Family.examine`."""

    generator: Generator
    format: str
    network: str = ""
    incomplete: bool = False
    facts: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """A generator without its weights: what the service needs to plan and to validate."""

    family: str
    resolution: tuple[int, int]
    channels: int
    code: CodeSpec
    layers: tuple[FeatureLayer, ...]
    settings_schema: Mapping[str, Any]
    labelled_by: frozenset[LabelledBy]


def schema_with_defaults(schema: Mapping[str, Any], info: GeneratorInfo) -> Mapping[str, Any]:
    """Return a family's schema of settings with the defaults of one generator. Raises :class:`GeneratorError` for those
    that the schema refuses.
    """
    wrong = violations(schema, info.sampling)
    if wrong:
        problems = [Problem(one.detail, f"info.sampling.{one.name}") for one in wrong]
        raise GeneratorError("invalid generator facts", problems)
    return with_own_defaults(schema, info.sampling)


def settings_with_defaults(schema: Mapping[str, Any], settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return ``settings`` with the schema's defaults for those that are absent or null.

    Raises :class:`GeneratorError` that names every unknown setting and every value that the schema refuses.
    """
    wrong = violations(schema, settings or {})
    if wrong:
        raise GeneratorError("invalid sampling settings", [Problem(one.detail, one.name) for one in wrong])
    return with_defaults(schema, settings or {})


def digest_of_facts(facts: Any) -> str:
    """Return the SHA-256 (hex) of JSON values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()
