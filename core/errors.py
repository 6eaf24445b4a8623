"""What the library raises when the fault lies outside of it.

::

    OffhandError                code, detail, problems, retryable
    ├── LabelSetError           bad_label_set       the labelled archive, or what is in it
    ├── ImageSetError           bad_image_set       photographs without labels, or the archive that holds them
    ├── GeneratorError          bad_generator       a generator folder, its configuration or its use
    │   └── CheckpointError     bad_checkpoint      foreign weights: tensors missing, of wrong shape, not finite
    │       └── UnsafeCheckpointError  unsafe_checkpoint  a file that names what no checkpoint needs, or is crafted
    ├── InversionError          inversion_failed    images that cannot be inverted
    │   └── PoorReconstructionError  poor_reconstruction  a generator that draws other pictures than the labelled ones
    ├── LabelerError            bad_labeler         labeler settings or folder, labels it cannot learn from
    ├── SamplingError           bad_sampling        sampling settings
    ├── ShardError              bad_shard           a dataset shard that is damaged or lacks a sample
    │   └── ShardChangedError   shard_changed       a shard's bytes are not those that were stored; retryable
    ├── EvaluationError         bad_evaluation      settings, weights or data from which no verdict can be had
    ├── ResumeError             cannot_resume       what an earlier run kept is damaged, or belongs to another run
    │   └── OtherReleaseError   other_release       a state of much work that this release cannot read; retryable
    └── Stopped                 stopped             ``should_stop()`` said so; nothing is wrong

``code`` is stable and safe to switch on. ``problems`` holds everything found, not the first: one entry a problem, with
a pointer to the file, tensor or field, and beyond :data:`MOST_PROBLEMS` only their number. Their text may quote files:
it is made printable and cut here. A violated invariant of our own is an ``AssertionError`` and never one of these.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from contracts.text import name, printable

MOST_PROBLEMS = 1000
"""Problems that one error lists."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: ``detail`` in words, ``pointer`` to the file, tensor or field (may be empty).

    ``picture``: a small PNG that shows it, or nothing.
    """

    detail: str
    pointer: str = ""
    picture: bytes = field(default=b"", repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", printable(self.detail))
        object.__setattr__(self, "pointer", name(self.pointer))

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


class OffhandError(Exception):
    """Root of the tree. ``retryable`` says whether the same call may succeed later without any change to its input."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, problems: Iterable[Problem] = ()) -> None:
        self.detail = printable(detail)
        self.problems: tuple[Problem, ...] = _listed(tuple(problems))
        super().__init__(self.detail, self.problems)

    def __str__(self) -> str:
        return "\n  ".join([self.detail, *map(str, self.problems)])


def _listed(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    if len(problems) <= MOST_PROBLEMS:
        return problems
    more = Problem(f"{len(problems) - MOST_PROBLEMS + 1} more problems are not listed")
    return (*problems[: MOST_PROBLEMS - 1], more)


class LabelSetError(OffhandError):
    """The labelled archive cannot be used as it is."""

    code = "bad_label_set"


class ImageSetError(OffhandError):
    """Photographs without labels cannot be used as they are."""

    code = "bad_image_set"


class GeneratorError(OffhandError):
    """A generator folder, its configuration, or a request the generator cannot answer."""

    code = "bad_generator"


class CheckpointError(GeneratorError):
    """Weights from elsewhere that do not make a generator."""

    code = "bad_checkpoint"


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint file that is refused before it is understood; nothing of it ran."""

    code = "unsafe_checkpoint"


class InversionError(OffhandError):
    """Images cannot be inverted: none given, wrong size, no perceptual distance, nothing finite."""

    code = "inversion_failed"


class PoorReconstructionError(InversionError):
    """The generator cannot redraw the labelled images: what is learnt from its reconstructions would be wrong."""

    code = "poor_reconstruction"


class LabelerError(OffhandError):
    """Labeler settings, a labeler folder, or labels from which nothing can be learnt."""

    code = "bad_labeler"


class SamplingError(OffhandError):
    """Sampling settings that make no stream."""

    code = "bad_sampling"


class ShardError(OffhandError):
    """A shard is truncated, damaged, or lacks a sample that it should hold."""

    code = "bad_shard"


class ShardChangedError(ShardError):
    """Bytes of a shard differ from their digest each time they are read."""

    code = "shard_changed"
    retryable = True


class EvaluationError(OffhandError):
    """Evaluation settings, weights, or data from which no verdict can be had."""

    code = "bad_evaluation"


class ResumeError(OffhandError):
    """State that an earlier run kept and this one cannot go on from. Without it the work restarts."""

    code = "cannot_resume"


class OtherReleaseError(ResumeError):
    """A state that took much work, which this release cannot continue from; a worker of the other one can."""

    code = "other_release"
    retryable = True


class Stopped(OffhandError):
    """Work ended because ``should_stop()`` said so. What was already yielded or checkpointed stays good."""

    code = "stopped"
    retryable = True

    def __init__(self, detail: str = "stopped on request", problems: Iterable[Problem] = ()) -> None:
        super().__init__(detail, problems)
