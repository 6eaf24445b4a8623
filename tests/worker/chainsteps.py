"""A stand-in for a long training, as a chain of short items, beside the other test steps."""

from __future__ import annotations

import json

from store.jobs.commits import StepResult
from tests.worker import teststeps
from worker.runtime.step_context import StepContext


def train(context: StepContext) -> StepResult:
    """Count to `spec.units`; each item goes on for as long as a shard should take."""
    total = context.claim.spec["units"]
    kept = context.load_checkpoint()
    state = json.loads(kept) if kept is not None else {"done": 0, "items": 0}
    begun = state["done"]
    while state["done"] < total:
        state["done"] += 1
        context.progress(state["done"] - begun, total - begun)
        if context.time_is_up() and state["done"] < total:
            state["items"] += 1
            return context.continue_later(
                json.dumps(state).encode(), done=state["done"] - begun, left=total - state["done"]
            )
    return StepResult(value={"done": state["done"], "items": state["items"] + 1})


STEPS = {**teststeps.STEPS, "train": train}
