"""A file of somebody else's → a generator of ours and a report of what it is.

Read, never guess: whatever the file does not say is asked for in the error, and can be given as :class:`Answers`.
"""

import mmap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from contracts.text import name, printable
from core.callbacks import ShouldStop, never_stop, stop_if_asked
from core.checkpoints.gzipped import GZIP, unpacked
from core.checkpoints.limits import Budget, Limits, shown, unsafe
from core.checkpoints.safetensors_files import read_safetensors
from core.checkpoints.torch_files import read_pickle, read_zip
from core.digests import sha256_of
from core.errors import CheckpointError, GeneratorError, Problem, Stopped
from core.generators.import_source import Answers, Found
from core.generators.stylegan2.checkpoints import nvidia, tensorflow
from core.generators.stylegan2.checkpoints.state_dicts import read_state_dicts
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network, Noise

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"
#: torch's words where memory cannot be had.
_OUT_OF_MEMORY = "can't allocate memory"
_CODES = 10_000
_BATCH = 2_000
#: Numbers of one layer's input at once: 65,536 classes are mapped 64 at a time.
_BATCH_NUMBERS = 1 << 22
#: Distance at which the stored mean code is called strange: a tenth of how far codes lie from one another.
_FAR = 0.1


@dataclass(frozen=True)
class ImportReport:
    """What was read, and how far it can be trusted. ``to_json`` is what the service shows."""

    format: str
    """``nvidia-pytorch``, ``nvidia-state``, ``nvidia-tensorflow``, ``rosinality`` or ``offhand``."""
    network: str
    """Which generator of the file; empty where it holds one alone."""
    architecture: str
    resolution: tuple[int, int]
    classes: int
    """Length of the class vector; 0 for an unconditional generator."""
    parameters: int
    """Trained numbers, without noise maps and mean code."""
    config: dict[str, Any]
    noise: Noise
    """``none`` where its layers were built without."""
    file_bytes: int
    file_sha256: str
    w_avg: str
    """``stored`` in the file, or ``measured`` as the mean of mapped latents where the file has none."""
    w_avg_distance: float | None
    """Parity: distance of the stored mean code from the mean of mapped latents, as a share of the codes' spread. Chance
    alone gives 0.01; much more says that mapping network, its settings and mean code do not belong together. None where
    it was measured.
    """
    facts: dict[str, str] = field(default_factory=dict)
    """What else the file says of itself."""
    notes: tuple[str, ...] = ()
    """What a user should know."""

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write."""
        return asdict(self) | {"resolution": list(self.resolution), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ImportReport":
        """Return the report that :meth:`to_json` wrote."""
        height, width = values["resolution"]
        return cls(**{**values, "resolution": (height, width), "notes": tuple(values["notes"])})


class Imported(NamedTuple):
    """network: in eval mode, float32, frozen. class_names: where the file has them."""

    network: Network
    report: ImportReport
    class_names: tuple[str, ...]


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

    ``seed`` draws the latents whose mean code is compared with the stored one, or stands in for it.
    Raises :class:`UnsafeCheckpointError` for a file that names what no checkpoint needs or exceeds ``limits``, and
    :class:`CheckpointError` for one that holds no such generator, or leaves a question open.
    """
    answers, limits = answers or Answers(), limits or Limits()
    try:
        return _imported(path, answers, limits, seed, should_stop)
    except (CheckpointError, Stopped):
        raise
    except GeneratorError as error:
        raise CheckpointError(error.detail, error.problems) from error
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        if _OUT_OF_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        # Values that no check above foresees reach Python or torch, which refuse them in words of their own.
        detail = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise CheckpointError("this file holds values that no generator has", [Problem(detail, path.name)]) from error


def _imported(path: Path, answers: Answers, limits: Limits, seed: int, should_stop: ShouldStop) -> Imported:
    if _begins_with(path, GZIP):
        with unpacked(path, limits, should_stop) as inside:
            found = _found(inside, answers, limits)
    else:
        found = _found(path, answers, limits)
    _check_answers(found, answers)
    _check_features(found.config, limits)
    stop_if_asked(should_stop)
    with torch.device("meta"):
        network = Network(found.config)
    network.load_state_dict(found.state, assign=True)
    network.eval().requires_grad_(False)
    mean, spread = _mean_code(network, seed, should_stop)
    stop_if_asked(should_stop)
    distance: float | None = None
    notes: list[str] = []
    if found.has_w_avg:
        distance = float((network.w_avg - mean).norm() / spread.norm().clamp_min(1e-12))
        if distance > _FAR:
            notes.append(
                f"The stored mean code lies {distance:.2g} spreads from the mean of {_CODES} mapped latents: truncated "
                "images may look unlike those of the project it comes from."
            )
    else:
        network.w_avg.copy_(mean)
        notes.append(f"The file has no mean code that can be used; it was measured over {_CODES} mapped latents.")
    return Imported(network, _report(path, found, network, distance, [*notes, *found.notes]), _names(found.classes))


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _found(path: Path, answers: Answers, limits: Limits) -> Found:
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise unsafe(f"{size} bytes; {limits.file_bytes} are allowed", path.name)
    limits = limits.of_file(size)
    with path.open("rb") as file:
        begin = file.read(9)
        if len(begin) == 9 and begin[8:] == b"{" and int.from_bytes(begin[:8], "little") < size:
            return read_safetensors(path, answers, limits)
        if not begin.startswith((ZIP, PICKLE)):
            kinds = "an NVIDIA pickle (.pkl), a torch.save file (.pt) or safetensors, also with gzip"
            raise CheckpointError("this is no checkpoint", [Problem(f"it does not begin like {kinds}", path.name)])
        # A private mapping: torch asks for memory that may be written, and nothing is ever written back.
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    budget = Budget(limits)
    value = read_zip(data, path, budget) if begin.startswith(ZIP) else read_pickle(data, budget)
    if tensorflow.looks_like_tensorflow(value):
        return tensorflow.read_tensorflow(value, answers, limits)
    if nvidia.looks_like_nvidia(value):
        return nvidia.read_nvidia(value, answers, limits)
    found = read_state_dicts(value, answers, limits)
    if found is not None:
        return found
    named = ", ".join(sorted(map(str, value)))[:200] if type(value) is dict else shown(value)
    raise CheckpointError("this file holds no known generator", [Problem(f"it holds {named}", path.name)])


def _check_answers(found: Found, answers: Answers) -> None:
    """An answer to something the file says itself has to be the same."""
    config, problems = found.config, []
    if answers.mapping_lr_multiplier not in (None, config.mapping_lr_multiplier):
        said = f"the file says {config.mapping_lr_multiplier}"
        problems.append(Problem(said, "mapping_lr_multiplier"))
    if answers.conv_clamp is not None and (answers.conv_clamp or None) != config.conv_clamp:
        problems.append(Problem(f"the file says {config.conv_clamp or 0}", "conv_clamp"))
    if problems:
        raise CheckpointError("the file says otherwise", problems)


def _check_features(config: StyleGAN2Config, limits: Limits) -> None:
    """Raise for a generator whose single image no machine would draw, however small its file is."""
    for block, channels in config.channels.items():
        height, width = config.block_size(block)
        needed = 4 * height * width * max(channels, config.image_channels)
        if needed > limits.feature_bytes:
            detail = f"one image takes {needed} bytes in this layer; {limits.feature_bytes} are allowed"
            raise unsafe(detail, f"block of {height} x {width} pixels")


def _mean_code(network: Network, seed: int, should_stop: ShouldStop) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of mapped latents, each float [w_dim]; classes take turns."""
    config, random = network.config, torch.Generator().manual_seed(seed)
    batch = min(_BATCH, max(1, _BATCH_NUMBERS // max(config.z_dim + config.w_dim, config.c_dim)))
    total = torch.zeros(2, config.w_dim, dtype=torch.float64)
    for begin in range(0, _CODES, batch):
        stop_if_asked(should_stop)
        count = min(batch, _CODES - begin)
        z, c = torch.randn(count, config.z_dim, generator=random), None
        if config.c_dim:
            c = torch.zeros(count, config.c_dim)
            c[torch.arange(count), torch.arange(begin, begin + count) % config.c_dim] = 1
        w = network.mapping(z, c).double()
        total += torch.stack([w.sum(0), w.square().sum(0)])
    mean, square = total / _CODES
    spread = (square - mean.square()).clamp_min(0).sqrt()
    if not (mean.float().isfinite().all() and spread.float().isfinite().all()):
        raise CheckpointError("this generator maps latents to no finite codes", [Problem("overflows", "mapping")])
    return mean.float(), spread.float()


def _report(path: Path, found: Found, network: Network, distance: float | None, notes: list[str]) -> ImportReport:
    return ImportReport(
        format=found.format,
        network=name(found.network),
        architecture=found.config.architecture,
        resolution=found.config.resolution,
        classes=found.config.c_dim,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        config=found.config.to_json(),
        noise="const" if found.noisy else "none",
        file_bytes=path.stat().st_size,
        file_sha256=sha256_of(path),
        w_avg="stored" if found.has_w_avg else "measured",
        w_avg_distance=distance,
        facts={name(key): name(fact) for key, fact in found.facts.items()},
        notes=tuple(map(printable, notes)),
    )


def _names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that a file gives, printable: they reach databases and terminals."""
    return tuple(map(name, classes))
