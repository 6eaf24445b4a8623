"""Steps of the new kind, and the two registry lines: the kind in `store.job_kinds`, its steps here."""

from __future__ import annotations

from store import job_kinds
from store.jobs.commits import StepResult
from tests.new_kind import count_words
from worker.runtime.step_context import StepContext

job_kinds.KINDS[count_words.KIND.name] = count_words.KIND


def split_text(context: StepContext) -> StepResult:
    """Look at the text; the kind plans the parts."""
    return StepResult(value={"words": len(context.request(count_words.CountWordsSpec).text.split())})


def count_part(context: StepContext) -> StepResult:
    """Count the words of one part."""
    words = context.claim.input["words"]
    context.progress(len(words), len(words))
    return StepResult(value={"words": len(words)})


STEPS = {"split_text": split_text, "count_part": count_part}
