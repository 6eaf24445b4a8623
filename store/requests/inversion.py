"""Fields of a request about inversion: labelled images are brought into the generator's frame, then inverted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from store.first_release import Space
from store.requests.base import Spec

Share = Annotated[float, Field(ge=0.0, le=1.0)]
#: JSON has lists alone.
Point = Annotated[tuple[Share, Share], Strict(False)]


class AlignSpec(Spec):
    """Registration of labelled images that do not show their subject where the generator draws it."""

    by: Literal["boxes", "keypoints"] | None = Field(
        None,
        description="`boxes`: each image is cut to its box in `boxes.json`, and `fit` is about the box. `keypoints`: "
        "it is turned, scaled and shifted to where its keypoints lie at `align.keypoints`. Images without what is "
        "needed fail the job, which names them. Null: images are taken as they are.",
    )
    margin: float = Field(
        0.0, ge=0.0, le=4.0, description="What stays around a box on each side, in widths and heights of the box."
    )
    freedom: Literal["similarity", "affine"] = Field(
        "similarity", description="`affine`: keypoints may also shear an image and scale its axes apart."
    )
    keypoints: dict[Annotated[str, StringConstraints(min_length=1, max_length=80)], Point] = Field(
        default_factory=dict,
        max_length=256,
        validate_default=True,
        description="Where keypoints lie in the generator's images, by name: [x, y] as shares of width and height from "
        "the top left corner. Each image must show at least two of them, three for `affine`.",
    )

    @field_validator("margin")
    @classmethod
    def _of_boxes(cls, margin: float, info: ValidationInfo) -> float:
        if margin and info.data.get("by", "boxes") != "boxes":
            raise PydanticCustomError("margin_without_boxes", "a margin needs boxes")
        return margin

    @field_validator("keypoints")
    @classmethod
    def _enough(cls, keypoints: dict[str, tuple[float, float]], info: ValidationInfo) -> dict[str, tuple[float, float]]:
        least = 3 if info.data.get("freedom") == "affine" else 2
        if info.data.get("by") == "keypoints" and len(keypoints) < least:
            raise PydanticCustomError("few_keypoints", "name at least {least} keypoints", {"least": least})
        if info.data.get("by", "keypoints") != "keypoints" and keypoints:
            raise PydanticCustomError("keypoints_without_use", 'set by: "keypoints"')
        return keypoints


Fit = Annotated[
    Literal["crop", "pad", "stretch"],
    Field(description="How images of another shape are brought to the generator's resolution."),
]


class FramingSpec(Spec):
    """Fields that bring labelled images into the generator's frame."""

    fit: Fit = "crop"
    background: Literal["keep", "white"] = Field(
        "keep",
        description="`white`: labelled images are white where their mask shows the class `background`, for generators "
        "that draw their subject before white.",
    )
    align: AlignSpec = AlignSpec()

    @field_validator("align")
    @classmethod
    def _one_way_only(cls, align: AlignSpec, info: ValidationInfo) -> AlignSpec:
        """Refuse a fit beside keypoints, which decide all that a fit would."""
        if align.by == "keypoints" and info.data.get("fit", "crop") != "crop":
            raise PydanticCustomError("fit_and_keypoints", "fit has no effect with keypoints: remove it")
        return align


class InversionSpec(Spec):
    """Settings of the inversion of labelled images."""

    steps: int | None = Field(None, ge=0, le=10_000, description="Refinement steps per image; null: the default.")
    encoder: str | None = Field(
        None,
        max_length=64,
        description="An encoder trained for the generator (`enc_…`); null: the generator's own, if it has one.",
    )
    space: Space | None = Field(
        None, description="One code a layer, or one for all layers; null: as the generator asks for."
    )
    constraint: Literal["ball", "penalty", "none"] | None = Field(
        None, description="What keeps codes near the encoder's answer; null: the default, a ball."
    )
    radius: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Of the ball around the encoder's answer, in units of the code; null: 0.5, or where that is more, "
        "the spread of the generator's codes.",
    )
    mirror: bool = Field(
        True,
        description="Invert the mirror image of each labelled image as well, so that the labeler learns from twice as "
        "many; parts named left and right are exchanged in its label. Use false where the generator draws no mirror "
        "images, or where names do not distinguish sides. Ignored for drawn samples.",
    )
    fit_noise: bool = Field(
        False, description="Fit noise maps beside the codes, so that codes need not explain grain. Only codes are kept."
    )
    max_lpips: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Perceptual distance (by the network in the report) above which a reconstruction is flagged; "
        "null: images of a PSNR below 20 dB are.",
    )
    drop_flagged: bool = Field(
        True,
        description="Leave flagged images out of training. With `max_lpips` the job fails where fewer than 2 stay; "
        "without it, all are used where fewer than half would stay. The labeler's report lists dropped images.",
    )
