"""A checkpoint of another project, or of our own → a generator and a report.

Read, never guess: whatever the file does not state is asked for in the error, and can be given as :class:`Answers`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from contracts.text import name as printable_name
from contracts.text import printable
from core.callbacks import ShouldStop, never_stop
from core.checkpoints.content import CheckpointContent, opened
from core.checkpoints.limits import Limits, unsafe
from core.digests import sha256_of
from core.errors import CheckpointError, GeneratorError, Problem, Stopped
from core.generators import families
from core.generators.answers import Answers
from core.generators.files import METADATA, parse_description
from core.generators.interface import Family, FeatureLayer, Generator, GeneratorInfo, ReadGenerator
from core.run import Run

OWN_FORMAT = "offhand"
#: torch's words where memory cannot be had.
_OUT_OF_MEMORY = "can't allocate memory"


@dataclass(frozen=True)
class ImportReport:
    """What was read, and how far it can be trusted. ``to_json`` is what the service shows."""

    family: str
    format: str
    """Layout of the file, such as ``nvidia-pytorch`` or ``rosinality``; ``offhand`` for our own."""
    network: str
    """Which generator of the file; empty where it holds one alone."""
    resolution: tuple[int, int]
    classes: int
    """Classes of a conditional generator; 0 for an unconditional one."""
    parameters: int
    """Numbers in its tensors."""
    config: dict[str, Any]
    file_bytes: int
    file_sha256: str
    details: dict[str, Any] = field(default_factory=dict)
    """Findings of the family's own; they stand beside the others in JSON."""
    facts: dict[str, str] = field(default_factory=dict)
    """What else the file states."""
    notes: tuple[str, ...] = ()
    """What a user should know."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads."""
        plain = asdict(self) | {"resolution": list(self.resolution), "notes": list(self.notes)}
        details: dict[str, Any] = plain.pop("details")
        return details | plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ImportReport":
        """Read what :meth:`to_json` wrote."""
        known = {one.name for one in fields(cls)} - {"details"}
        own = {name: value for name, value in values.items() if name in known}
        details = {name: value for name, value in values.items() if name not in known}
        own |= {"resolution": tuple(own["resolution"]), "notes": tuple(own["notes"])}
        return cls(**own, details=details)


class Imported(NamedTuple):
    """A generator with the facts that its file states, and the report."""

    generator: Generator
    report: ImportReport


@torch.no_grad()
def import_checkpoint(
    path: Path,
    answers: Answers | None = None,
    *,
    limits: Limits | None = None,
    seed: int = 0,
    should_stop: ShouldStop = never_stop,
) -> Imported:
    """Read a checkpoint of any known kind. Nothing in it is executed.

    ``seed``: of the random numbers that a family checks its generator with. Raises
    :class:`core.errors.UnsafeCheckpointError` for a file that names what no checkpoint needs or exceeds ``limits``, and
    :class:`CheckpointError` for one that holds no known generator, or leaves a question open.
    """
    answers, limits, run = answers or Answers(), limits or Limits(), Run(seed=seed, should_stop=should_stop)
    try:
        return _imported(path, answers, limits, run)
    except (CheckpointError, Stopped):
        raise
    except GeneratorError as error:
        raise CheckpointError(error.detail, error.problems) from error
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        if _OUT_OF_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        # Values that no check above foresees reach Python or torch, which refuse them in words of their own.
        detail = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise CheckpointError(
            "this file holds values outside a generator's range", [Problem(detail, path.name)]
        ) from error


def _imported(path: Path, answers: Answers, limits: Limits, run: Run) -> Imported:
    with opened(path, limits, run.should_stop) as content:
        family, read = _read(content, answers)
    generator = read.generator.with_info(_printable(read.generator.info))
    _check_features(generator, limits)
    run.stop_if_asked()
    details, notes = family.examine(generator, read.incomplete, run)
    run.stop_if_asked()
    report = ImportReport(
        family=family.name,
        format=read.format,
        network=printable_name(read.network),
        resolution=generator.resolution,
        classes=generator.code.classes,
        parameters=family.parameters(generator),
        config=generator.config_json(),
        file_bytes=path.stat().st_size,
        file_sha256=sha256_of(path),
        details=details,
        facts={printable_name(key): printable_name(fact) for key, fact in read.facts.items()},
        notes=tuple(map(printable, (*notes, *read.notes))),
    )
    return Imported(generator, report)


def _printable(info: GeneratorInfo) -> GeneratorInfo:
    """Return facts whose texts are printable: they reach databases and terminals."""
    return replace(
        info,
        name=printable_name(info.name),
        licence=printable_name(info.licence),
        domain=printable_name(info.domain),
        classes=tuple(map(printable_name, info.classes)),
    )


def _check_features(generator: Generator, limits: Limits) -> None:
    """Raise for a generator whose single image no machine would draw, however small its file is."""
    image = FeatureLayer("image", generator.channels, *generator.resolution)
    for layer in (*generator.layers, image):
        needed = 4 * layer.height * layer.width * layer.channels
        if needed > limits.feature_bytes:
            detail = f"one image takes {needed} bytes in this layer; {limits.feature_bytes} are allowed"
            raise unsafe(detail, layer.name)


def _read(content: CheckpointContent, answers: Answers) -> tuple[Family, ReadGenerator]:
    if METADATA in content.metadata:
        return _own(content)
    for family in families.FAMILIES.values():
        read = family.read_checkpoint(content, answers)
        if read is not None:
            return family, read
    problem = Problem(f"it holds {content.summary()}", content.name)
    raise CheckpointError("this file holds no known generator", [problem])


def _own(content: CheckpointContent) -> tuple[Family, ReadGenerator]:
    """A file that describes itself."""
    try:
        description: Any = json.loads(content.metadata[METADATA])
    except (ValueError, RecursionError) as error:
        raise CheckpointError("this file's description is broken", [Problem(str(error), METADATA)]) from None
    stored = parse_description(description)
    family = families.family_of(stored.description.family)
    generator = family.build(stored.config, stored.info, content.tensors or {}, "cpu")
    info = stored.info
    facts = {name: getattr(info, name) for name in ("name", "licence", "domain") if getattr(info, name)}
    return family, ReadGenerator(generator, OWN_FORMAT, facts=facts)
