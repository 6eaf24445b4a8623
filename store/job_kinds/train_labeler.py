"""Job kind `train_labeler`: a labeler for datasets to come, and its quality report."""

from __future__ import annotations

from typing import Literal

from store.job_kinds.checks import labeling_problems
from store.job_kinds.labeling import ASSESS_LABELER, INVERT, TRAIN_LABELER, VALIDATE
from store.jobs.kinds import JobKind, Makes
from store.requests.labeler import FoldsSpec, LabelingSpec


class TrainLabelerSpec(FoldsSpec, LabelingSpec):
    """A labeler alone, judged by cross-validation, for datasets to come: a `generate` job that asks for the same one
    uses it.
    """

    kind: Literal["train_labeler"] = "train_labeler"


KIND = JobKind(
    "train_labeler",
    (VALIDATE, INVERT, TRAIN_LABELER, ASSESS_LABELER),
    TrainLabelerSpec,
    makes=Makes("labeler", "labelers"),
    check=labeling_problems,
)
