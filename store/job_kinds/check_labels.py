"""Job kind `check_labels`: labelled images read as every job reads them, and nothing made of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import Problem
from store.job_kinds.checks import composition_problems, labeling_problems
from store.job_kinds.labeling import VALIDATE
from store.jobs.kinds import JobKind, Submitting
from store.requests.composition import ClassDemandSpec
from store.requests.labeler import LabelingSpec


class CheckLabelsSpec(LabelingSpec):
    """Labelled images read and checked against a request, without making anything of them: the job fails with every
    problem that a job with these fields would find in them, and succeeds with a label set.
    """

    kind: Literal["check_labels"] = "check_labels"
    composition: list[ClassDemandSpec] = Field(
        default_factory=list, max_length=64, description="As for `generate`: classes that must be there."
    )


def _check(where: Submitting, spec: CheckLabelsSpec) -> list[Problem]:
    return labeling_problems(where, spec) + composition_problems(where, spec.composition, spec)


KIND = JobKind("check_labels", (VALIDATE,), CheckLabelsSpec, check=_check)
