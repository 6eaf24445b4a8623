"""Reports of what steps made, as typed objects: the `info` of label sets, inversions, encoders and labelers.

Steps write them with :meth:`Report.to_json`; the functions below read them, also those of older releases.
"""

from __future__ import annotations

import json
from math import inf, nan
from typing import Annotated, Any, Protocol, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from store.requests.labeler import LearningSpec


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


class Stored(Protocol):
    """A stored thing with a report, such as :class:`store.resources.artifacts.Made`."""

    @property
    def info(self) -> dict[str, Any]:
        """The report as JSON values."""
        ...


class Report(BaseModel):
    """Entries of a report. Those with a default are absent in reports of older releases."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")

    @classmethod
    def of(cls, stored: Any) -> Self:
        """Read what :meth:`to_json` returned. Raises ValidationError."""
        return cls.model_validate(stored)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; null for numbers that JSON does not have."""
        values: dict[str, Any] = json.loads(self.model_dump_json(exclude_unset=True))
        return values


class ImageReport(Report):
    """Reconstruction of one labelled image, or of its mirror image, as in `core.inversion.report.InversionReport`.

    reused_from: id of the inversion whose code was used again. alignment: where the image was cut; None where it was
    taken as it is.
    """

    name: str
    psnr: Psnr
    perceptual: Distance
    flagged: bool
    flags: tuple[str, ...] = ()
    perceptual_name: str = ""
    start: str = ""
    start_perceptual: Distance = nan
    start_psnr: Psnr = nan
    l2: Distance = nan
    fitted_noise_psnr: float | None = None
    norm_name: str = ""
    norm: Distance = nan
    radius: float | None = None
    layer_spread: Distance = nan
    steps: int = 0
    reused_from: str | None = None
    alignment: dict[str, float | None] | None = None


class InversionReport(Report):
    """Reconstruction of all images of a label set; `mirrored`: of their mirror images, empty where there are none.

    fit, align: how images were brought to `height` and `width`, from the request. reused_images: images whose code was
    known. seen_in_training: labelled images that also trained the generator, by name; the name of the training image.
    """

    images: int
    flagged: int
    perceptual_name: str
    median_psnr: Psnr
    median_perceptual: Distance = nan
    start: str = ""
    median_start_psnr: Psnr = nan
    median_norm: Distance = nan
    median_steps: float = 0.0
    fit: str = "crop"
    align: dict[str, Any] = Field(default_factory=dict)
    height: int = 0
    width: int = 0
    reused_images: int = 0
    seen_in_training: dict[str, str] = Field(default_factory=dict)
    per_image: tuple[ImageReport, ...]
    mirrored: tuple[ImageReport, ...] = ()


class DroppedImage(Report):
    """A labelled image that a labeler was not trained on, and the reason."""

    name: str
    why: str


class HeldOutReport(Report):
    """Scores of a labeler on labelled images kept aside: their numbers, scores from 0 to 1, `iou` by class id; and the
    further scores of its task.
    """

    model_config = ConfigDict(extra="allow")

    images: tuple[int | str, ...]
    accuracy: float | None = None
    mean_iou: float | None = None
    iou: dict[str, float | None] | None = None


class LabelerReport(Report):
    """Training of a labeler: the entries below, and those of `core.labeling.labeler.Head.report` of its first task.

    settings: of the library. asked: the part of the request on which its images and classes depend, None for labelers
    of older releases. mirrored: names of images that it learnt mirrored as well. dropping:
    why flagged images were kept, in words. tasks: reports of the training by task. trained_on_all: it was trained again
    on all images after the held-out ones were scored.
    """

    model_config = ConfigDict(extra="allow")

    settings: dict[str, Any]
    asked: Annotated[LearningSpec | None, BeforeValidator(_without_nulls)] = None
    dropped: tuple[DroppedImage, ...] = ()
    dropping: str = ""
    mirrored: tuple[str, ...] = ()
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    held_out: Annotated[HeldOutReport | None, BeforeValidator(_or_none)] = None
    trained_on_all: bool = False


class ClassRow(Report):
    """A class of a label set."""

    id: int
    name: str


class ImageSize(Report):
    """Number of images of a size."""

    height: int
    width: int
    images: int


class ClassShare(Report):
    """Share of a class: of the labelled pixels, 0 to 1, and how many images show it."""

    pixels: float
    images: int


class Note(Report):
    """A note on labels that were read; pointer: file or entry, None for all of them."""

    text: str
    pointer: str | None = None


class LabelSetReport(Report):
    """Content of a label set. classes: empty for labels without a mask; shares: by class id. keypoints, depth: names of
    the keypoints and unit of depth as `core.label_sets` writes them, where these are tasks.
    """

    images: int
    classes: tuple[ClassRow, ...] = ()
    ignore_index: int = 255
    sizes: tuple[ImageSize, ...] = ()
    tasks: tuple[str, ...] = ()
    keypoints: Any = ()
    depth: Any = None
    shares: dict[str, ClassShare] = Field(default_factory=dict)
    detected_format: str = ""
    notes: tuple[Note, ...] = ()


class IterationReport(Report):
    """Median reconstruction after one iteration of an encoder (from 1); PSNR in dB."""

    iteration: int
    psnr: Psnr
    perceptual: Distance = nan
    l2: Distance = nan
    layer_spread: Distance = nan


class EncoderReport(Report):
    """Training of an encoder. images, by_iteration: number and reconstruction of each set of images that it was
    measured on; curve: points of the loss; imported: facts about the file of a published encoder, empty for others.
    """

    generator_digest: str
    train_on: str
    heads: str
    steps: int
    perceptual_name: str = ""
    images: dict[str, int] = Field(default_factory=dict)
    by_iteration: dict[str, tuple[IterationReport, ...]] = Field(default_factory=dict)
    curve: tuple[dict[str, float | None], ...] = ()
    imported: dict[str, Any] = Field(default_factory=dict)


def inversion_report(made: Stored) -> InversionReport:
    """Return the report of an inversion."""
    return InversionReport.of(made.info)


def labeler_report(made: Stored) -> LabelerReport:
    """Return the report of a labeler."""
    return LabelerReport.of(made.info)


def label_set_report(made: Stored) -> LabelSetReport:
    """Return the report of a label set."""
    return LabelSetReport.of(made.info)


def encoder_report(made: Stored) -> EncoderReport:
    """Return the report of an encoder."""
    return EncoderReport.of(made.info)
