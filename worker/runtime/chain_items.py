"""Items of a chain that continue a long call of the library: each works for as long as a shard should take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from core.errors import Stopped
from core.run import Run
from store.jobs.commits import StepResult
from worker.runtime.step_context import StepContext

Result = TypeVar("Result")


def run_item(context: StepContext, device: str, work: Callable[[Run], Result], *, seed: int = 0) -> Result | StepResult:
    """Return the result of `work`, or, where the item's time is up before its end, the result of an item after which
    another continues.

    work: a call that calls `run.checkpoint` with its state when `run.should_stop` asks it to stop, raises Stopped, and
    continues from `run.resume_from`. Each item makes at least one step. Raises Stopped when the job is to stop.
    """
    return context.resume(lambda kept: _Item(context).run(context.run(device, kept, seed=seed), work))


class _Item:
    """Progress and state of one item."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._begun: int | None = None
        self._done = self._total = 0
        self._state: bytes | None = None

    def run(self, run: Run, work: Callable[[Run], Result]) -> Result | StepResult:
        try:
            return work(
                replace(run, progress=self._progress, should_stop=self._should_stop, checkpoint=self._checkpoint)
            )
        except Stopped:
            if self._context.should_stop() or self._state is None:
                raise
        begun = self._begun or 0
        return self._context.continue_later(self._state, done=self._done - begun, left=self._total - self._done)

    def _progress(self, done: int, total: int) -> None:
        if self._begun is None:
            self._begun = done
        self._done, self._total = done, total
        self._context.progress(done - self._begun, total - self._begun)

    def _is_over(self) -> bool:
        return self._begun is not None and self._done > self._begun and self._context.time_is_up()

    def _should_stop(self) -> bool:
        return self._context.should_stop() or self._is_over()

    def _checkpoint(self, content: bytes) -> None:
        self._state = content
        if not self._is_over():  # else the next item takes it over
            self._context.save_checkpoint(content)
