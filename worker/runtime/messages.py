"""Messages of supervisor and child over their pipe. Small and typed; large things go through the store.

supervisor → child                 child → supervisor
Start(settings, steps, folder)             Ready(steps)
Run(claim)                         Progressed(done, total), Checkpointed(file), Measured(figures)
Stop()                             Finished(result, figures) | Failed(failure) | GaveUp()
"""

from __future__ import annotations

from dataclasses import dataclass

from store.jobs.claims import Claim
from store.jobs.commits import Failure, StepResult
from store.resources.files import File

#: Line on the child's standard error with which each shard begins: what stands before it belongs to other jobs, perhaps
#: of other tenants, and never becomes part of an error.
SHARD_BEGINS = b"\0shard begins\n"


@dataclass(frozen=True, slots=True)
class Start:
    """First message: the settings as JSON, the module whose `STEPS` the child serves, and the path of the folder in
    which it works.
    """

    settings: str
    steps: str
    folder: str


@dataclass(frozen=True, slots=True)
class Run:
    """Do this shard."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Stop:
    """End the shard at the next opportunity, without a result."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has imported what it needs, and can do these steps."""

    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progressed:
    """Progress of the shard, in its step's unit."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """State that the next attempt may continue from, as a stored object of the shard."""

    file: File


@dataclass(frozen=True, slots=True)
class Measured:
    """A point of a curve, for the job's log."""

    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Finished:
    """The shard is done, its objects are stored; not committed yet. `figures`: what it took."""

    result: StepResult
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The shard was ended by `Stop`."""


Message = Start | Run | Stop | Ready | Progressed | Checkpointed | Measured | Finished | Failed | GaveUp
