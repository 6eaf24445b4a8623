"""Figures of an attempt that people may plot: how long, how fast, how much memory. Told with its commit."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any


class Stopwatch:
    """Runs from the beginning of an attempt."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.done = 0
        cuda = _cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()

    def figures(self) -> dict[str, float]:
        """`seconds`; `per_second`, in what the step counts; most memory of the process so far and most memory of the
        GPU in this attempt, in MiB.
        """
        seconds = time.monotonic() - self._began
        unit = 2**20 if sys.platform == "darwin" else 2**10
        found = {"seconds": seconds, "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
        if self.done and seconds > 0:
            found["per_second"] = self.done / seconds
        cuda = _cuda()
        if cuda is not None:
            found["gpu_mib"] = cuda.max_memory_allocated() / 2**20
        return plottable(found)


def plottable(values: Mapping[str, float]) -> dict[str, float]:
    """Return values that JSON can hold, rounded."""
    return {name: float(f"{value:.6g}") for name, value in values.items() if math.isfinite(value)}


def _cuda() -> Any | None:
    """torch.cuda where a step of this process has used it; not imported for this."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
