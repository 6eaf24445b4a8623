"""Contract of generator training: images in, points of curves on the way, the best generator so far at any time.

A family that can be trained has a :class:`Trainer` in its folder and a line in ``TRAINERS`` of ``families.py``. Its
settings are in :mod:`contracts.generator_training`, so that a request can be checked without torch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from core.callbacks import ShouldStop, never_stop
from core.generators.interface import Generator, GeneratorInfo
from core.indexed_images import Images
from core.run import Run


class TrainingImages(Images, Protocol):
    """Images that a generator is trained on."""

    @property
    def weights(self) -> Tensor | None:
        """float64 [N], relative frequency with which each image is drawn; None to draw all equally often."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """Images that a generator is trained on, and others of the same size that it is measured with."""

    training: TrainingImages
    held_out: TrainingImages


@dataclass(frozen=True)
class StartFiles:
    """A generator to train on from, and further files that its training stored: see :meth:`Trainer.companions`."""

    generator: Generator
    companions: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingPlan:
    """Request for a training. settings: JSON values by the family's schema, those of a preset included."""

    settings: Mapping[str, Any]
    kimg: float | None = None
    """Budget in thousands of real images; None for that of the settings, unless there is one in seconds."""
    seconds: float | None = None
    """Budget in seconds of training. Interrupted trainings then differ in their last steps."""
    start: StartFiles | None = None


@dataclass(frozen=True)
class Reaction:
    """A warning of a training, and what it did about it."""

    sign: str
    detail: str
    advice: str
    action: str
    """Past tense: "returned to …", "ended …"; empty where it went on."""

    def __str__(self) -> str:
        done = f"; {self.action}" if self.action else ""
        return f"{self.detail}{done}. To prevent it: {self.advice}."


@dataclass(frozen=True)
class TrainingPoint:
    """A point of the curves."""

    figures: Mapping[str, float]
    """By name: ``images`` (real images seen), ``seconds``, ``size`` (pixels of the longer side), ``frechet``,
    ``precision``, ``recall``, ``spread`` (least within-class spread), and the family's own.
    """
    samples: Tensor
    """uint8 [N, C, H, W], of the same codes at each point."""
    best: bool = False
    """Whether the generator is the best so far."""
    reactions: tuple[Reaction, ...] = ()


class Trainer(Protocol):
    """A training in progress, which continues from ``Run.resume_from`` to the same weights."""

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to the end; None before the pace was measured."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the training has ended."""
        ...

    def train(self, pause: ShouldStop = never_stop) -> Iterator[TrainingPoint]:
        """Train to the end, or until ``pause`` says so between two steps: then :meth:`state` continues from there. At
        least one step is taken. Raises :class:`core.errors.Stopped` between steps where ``Run.should_stop`` says so.
        """
        ...

    def state(self) -> bytes:
        """Return everything that the training continues from."""
        ...

    @property
    def best_figures(self) -> Mapping[str, float] | None:
        """Figures of the point with the best generator; None before there is one."""
        ...

    def generator(self, info: GeneratorInfo) -> Generator:
        """Return the best generator so far, at the full size. Raises :class:`core.errors.GeneratorError` where there
        is none.
        """
        ...

    def companions(self) -> dict[str, bytes]:
        """Return further files to store with the generator, for training on from it."""
        ...

    def report(self) -> dict[str, Any]:
        """Return settings, curves, reactions and the reason of the end as JSON values."""
        ...


TrainerFactory = Callable[[TrainingData, TrainingPlan, Run], Trainer]
"""Raises :class:`core.errors.GeneratorError` for images or settings that do not fit, :class:`core.errors.ResumeError`
for the state of another training.
"""
