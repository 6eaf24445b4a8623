"""Facts of a finished dataset as its row stores them, of this release and earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _count(value: Any) -> Any:
    """Datasets of earlier releases name the images."""
    return len(value) if isinstance(value, list) else value


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class HeldOutScore(_Facts):
    """Scores of the labeler on labelled images that were kept aside: their number, and scores from 0 to 1."""

    images: Annotated[int, BeforeValidator(_count)]
    mean_iou: float | None = None
    accuracy: float | None = None


class Reconstruction(_Facts):
    """Reconstruction of the labelled images: median PSNR in dB, median perceptual distance (0 is equal)."""

    images: int
    flagged: int
    median_psnr: float
    median_perceptual: float | None = None
    perceptual_name: str


class DroppedCounts(_Facts):
    """Candidates that were not delivered, by reason."""

    uncertain: int
    composition: int


class DatasetQuality(_Facts):
    """Measurements of a finished dataset.

    held_out: None where no labelled images were kept aside. score: image score by which the images were ranked, None in
    datasets of earlier releases. rare_classes: a sentence for each. do_not_use: reasons not to use the labels without a
    look at them.
    """

    held_out: HeldOutScore | None
    reconstruction: Reconstruction
    score: str | None = None
    rare_classes: tuple[str, ...] = ()
    do_not_use: tuple[str, ...] = ()


class DatasetReport(_Facts):
    """Facts of a finished dataset. Empty while it is being made.

    next_offset: first index of the seed's stream that a dataset which continues this one begins with. damaged: files
    that cannot be read, each with the reason.
    """

    count: int | None = None
    candidates: int | None = None
    bytes: int | None = None
    height: int | None = None
    width: int | None = None
    manifest_sha256: str | None = None
    next_offset: int | None = None
    dropped: DroppedCounts | None = None
    inversion: Reconstruction | None = None
    held_out: HeldOutScore | None = None
    score: str | None = None
    rare_classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    do_not_use: tuple[str, ...] = ()
    damaged: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> DatasetReport:
        """Read the `info` of a dataset's row."""
        return cls.model_validate(info)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON values for the `info` of a dataset's row."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name in self.model_fields_set}

    @property
    def quality(self) -> DatasetQuality | None:
        """Measurements of the dataset; None where nothing was measured."""
        if self.inversion is None:
            return None
        return DatasetQuality(
            held_out=self.held_out,
            reconstruction=self.inversion,
            score=self.score,
            rare_classes=self.rare_classes,
            do_not_use=self.do_not_use,
        )
