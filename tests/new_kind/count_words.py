"""A job kind as a module of `store.job_kinds` would define it: the words of a text, counted in parts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import Problem
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.jobs.shards import ShardPlan
from store.requests.base import JobSpec
from store.settings import WorkerSettings


class CountWordsSpec(JobSpec):
    """The number of words in a text."""

    kind: Literal["count_words"] = "count_words"
    text: str = Field(min_length=1, max_length=1000, description="The text whose words are counted.")
    words_per_part: int = Field(2, ge=1, le=100)


class WordsBegun(JobResult):
    """Result of a job: the id of the count."""

    words: str


def _check(_where: Submitting, spec: CountWordsSpec) -> list[Problem]:
    return [] if spec.text.strip() else [Problem("no words", "/text")]


def _plan_parts(spec: CountWordsSpec, _worker: WorkerSettings) -> tuple[ShardPlan, ...]:
    words, step = spec.text.split(), spec.words_per_part
    parts = [words[start : start + step] for start in range(0, len(words), step)]
    return tuple(ShardPlan({"words": part}, len(part)) for part in parts)


KIND = JobKind(
    "count_words",
    (
        StepPlan("split_text", "cpu", title="splitting the text"),
        StepPlan("count_part", "cpu", title="counting words", fan_out=True, plan=_plan_parts, counts_images=True),
    ),
    CountWordsSpec,
    makes=Makes("words", "word-counts"),
    refusal="there is nothing to count",
    check=_check,
    images=lambda _where, spec: len(spec.text.split()),
    result=lambda _spec, job_id: WordsBegun(words=job_id.replace("job_", "wrd_")),
)
