"""Reports of what steps made, as typed objects: the `info` of label sets, inversions and labelers."""

from __future__ import annotations

from math import inf, nan
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from store.requests.labeler import LearningSpec
from store.resources.artifacts import Made


def _infinite(value: Any) -> Any:
    return inf if value is None else value


def _unknown(value: Any) -> Any:
    return nan if value is None else value


def _or_none(value: Any) -> Any:
    return value or None


def _without_nulls(value: Any) -> Any:
    """Older releases stored null for what a request did not have."""
    return {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value


#: dB. JSON has no infinity: null stands for the PSNR of equal images.
Psnr = Annotated[float, BeforeValidator(_infinite)]
#: A distance, 0 is equal; NaN where none was measured.
Distance = Annotated[float, BeforeValidator(_unknown)]


class _Report(BaseModel):
    """Entries that steps and the service read; a stored report has more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ImageReport(_Report):
    """Reconstruction of one labelled image, or of its mirror image."""

    name: str
    psnr: Psnr
    perceptual: Distance
    flagged: bool
    flags: tuple[str, ...] = ()


class InversionReport(_Report):
    """Reconstruction of all images of a label set; `mirrored`: of their mirror images, empty where there are none.

    seen_in_training: name of each labelled image that also trained the generator → name of the training image.
    """

    images: int
    flagged: int
    median_psnr: Psnr
    median_perceptual: Distance = nan
    perceptual_name: str
    seen_in_training: dict[str, str] = Field(default_factory=dict)
    per_image: tuple[ImageReport, ...]
    mirrored: tuple[ImageReport, ...] = ()


class DroppedImage(_Report):
    """A labelled image that a labeler was not trained on, and the reason."""

    name: str
    why: str


class HeldOutReport(_Report):
    """Scores of a labeler on labelled images kept aside: their numbers, scores from 0 to 1, `iou` by class id."""

    images: tuple[int | str, ...]
    accuracy: float | None = None
    mean_iou: float | None = None
    iou: dict[str, float | None] | None = None


class LabelerReport(_Report):
    """Training of a labeler.

    settings: of the library. asked: the part of the request on which its images and classes depend, None for labelers
    of older releases. mirrored: names of images that it learnt mirrored as well.
    """

    settings: dict[str, Any]
    asked: Annotated[LearningSpec | None, BeforeValidator(_without_nulls)] = None
    dropped: tuple[DroppedImage, ...] = ()
    mirrored: tuple[str, ...] = ()
    held_out: Annotated[HeldOutReport | None, BeforeValidator(_or_none)] = None


class LabelSetReport(_Report):
    """Content of a label set. classes: rows of `id`, `name` and more; empty for labels without a mask."""

    images: int
    classes: tuple[dict[str, Any], ...] = Field(default=())
    ignore_index: int


def inversion_report(made: Made) -> InversionReport:
    """Return the report of an inversion."""
    return InversionReport.model_validate(made.info)


def labeler_report(made: Made) -> LabelerReport:
    """Return the report of a labeler."""
    return LabelerReport.model_validate(made.info)


def label_set_report(made: Made) -> LabelSetReport:
    """Return the report of a label set."""
    return LabelSetReport.model_validate(made.info)
