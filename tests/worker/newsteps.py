"""Steps of a later version of the test program: it has one more."""

from __future__ import annotations

from store.jobs.commits import StepResult
from tests.worker.teststeps import STEPS as OLD_STEPS
from tests.worker.teststeps import finish
from worker.runtime.step_context import StepContext


def look(context: StepContext) -> StepResult:
    """What no worker of the version before can do."""
    return finish(context)


STEPS = {**OLD_STEPS, "look": look}
