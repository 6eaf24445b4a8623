"""Run one step, and plan the shards of the next one as its kind defines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from store.job_kinds import following_step
from store.jobs.commits import StepResult
from worker.runtime.step_context import StepContext

Step = Callable[[StepContext], StepResult]


def run_step(steps: Mapping[str, Step], context: StepContext) -> StepResult:
    """Return the result of the claimed step, with the shards of a following step that fans out. Raises what the step
    raises.
    """
    claim = context.claim
    result = steps[claim.step](context)
    following = following_step(claim.kind, claim.step)
    if following is None or following.plan is None:
        return result
    return replace(result, fan_out=following.plan(context.request(), context.settings.worker))
