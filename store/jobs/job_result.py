"""Result of a job: ids of what it has made so far, and for a dataset its quality and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from store.resources.dataset_reports import DatasetQuality


class JobResult(BaseModel):
    """Ids by what they name; None for what the job has not made (yet). Stored with the job, field by field.

    A kind whose jobs make something else has a subclass with that id. The subclasses below are for the steps that need
    what an earlier step has made: they are read by `StepContext.result`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    label_set: str | None = None
    inversion: str | None = None
    labeler: str | None = None
    encoder: str | None = None
    generator: str | None = None
    image_set: str | None = None
    samples: str | None = None
    dataset: str | None = None
    evaluation: str | None = None
    quality: DatasetQuality | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned. Raises ValidationError where an id that this class needs is missing."""
        return cls.model_validate(stored)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON values."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name in self.model_fields_set}

    @property
    def ids(self) -> dict[str, str]:
        """Ids by what they name, without those that are None."""
        return {name: value for name, value in self if isinstance(value, str)}

    def with_ids(self, ids: Mapping[str, str]) -> Self:
        """Return the result with each id replaced by the one that `ids` has for it."""
        return self.model_copy(update={name: ids[value] for name, value in self.ids.items() if value in ids})

    def joined(self, later: JobResult) -> JobResult:
        """Return the result with what a later step has made."""
        return JobResult.of(self.to_json() | later.to_json())


class LabelSetMade(JobResult):
    """Result of a job that has read its labels."""

    label_set: str


class InversionMade(JobResult):
    """Result of a job that has inverted its images."""

    inversion: str


class LabelerMade(JobResult):
    """Result of a job that has trained its labeler, or names one."""

    labeler: str


class DatasetBegun(JobResult):
    """Result of a job whose dataset has an id."""

    dataset: str


class SamplesBegun(JobResult):
    """Result of a job whose sample set has an id."""

    samples: str
