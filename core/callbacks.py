"""The two callbacks that every long-running call of the library takes, and their no-op defaults."""

from collections.abc import Callable, Mapping

from core.errors import Stopped

Progress = Callable[[int, int], None]
"""``progress(done, total)``: called from the working thread; ``done`` never falls and ends at ``total``."""

ShouldStop = Callable[[], bool]
"""``should_stop()``: asked between batches; once it says True the work ends by raising :class:`core.errors.Stopped`."""

Log = Callable[[Mapping[str, float]], None]
"""``log(figures)``: a point of a training's curves, by name (``step``, ``loss``, …), as soon as it is measured."""


def ignore_progress(done: int, total: int) -> None:
    """A :data:`Progress` that does nothing."""


def never_stop() -> bool:
    """A :data:`ShouldStop` that never asks to stop."""
    return False


def stop_if_asked(should_stop: ShouldStop) -> None:
    """Raise :class:`core.errors.Stopped` when ``should_stop`` says so."""
    if should_stop():
        raise Stopped
