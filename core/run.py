"""How a long call of the library runs: device, seed, callbacks, checkpoints. One object instead of nine arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from core.callbacks import Log, Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked


@dataclass(frozen=True)
class Run:
    """Surroundings of a long call. Nothing here changes the result, the seed and the device apart."""

    device: torch.device | str = "cpu"
    seed: int = 0
    progress: Progress = ignore_progress
    should_stop: ShouldStop = never_stop
    checkpoint: Callable[[bytes], None] | None = None
    """Called with the state as bytes every ``checkpoint_every`` steps."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints; None for the call's own default."""
    resume_from: bytes | None = None
    """Bytes that ``checkpoint`` was given: the call continues from there to the same result."""
    log: Log | None = None
    """Called with points of the training curves."""
    folder: Path | None = None
    """For temporary files; None for the system's folder."""
    memory_bytes: int | None = None
    """Memory that cached data may take before it goes to ``folder``; None for the call's own default."""

    def stop_if_asked(self) -> None:
        """Raise :class:`core.errors.Stopped` when the caller asked for it."""
        stop_if_asked(self.should_stop)
