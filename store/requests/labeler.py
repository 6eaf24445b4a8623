"""Fields of a request about a labeler: its training, its output and its classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from contracts.domains import Domain, with_domain
from store.requests.base import JobSpec, Spec
from store.requests.inversion import FramingSpec, InversionSpec
from store.requests.sampling import SamplingSpec

#: Parts into which labelled images are cut to judge a labeler, at most.
MOST_FOLDS = 50
#: The papers' class collapses; the library has the tables (a test holds both together).
CollapsePreset = Literal["celebamask_hq_8", "car_parts_10", "deepfashion_mm_10", "deepfashion_mm_8", "cityscapes_8"]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class CollapsedClassSpec(Spec):
    """One class instead of several."""

    name: ClassName = Field(description="What it is called.")
    of: list[ClassName] = Field(min_length=1, max_length=255, description="Classes of the labels that it takes in.")


class CollapseSpec(Spec):
    """Fewer classes than the labels have; ids are counted anew, from 0."""

    preset: CollapsePreset | None = Field(None, description="One of the papers' tables, by the ids of its data set.")
    classes: list[CollapsedClassSpec] = Field(
        default_factory=list,
        max_length=254,
        validate_default=True,
        description="Or a table of the caller's own, in which each class of the labels stands once.",
    )
    when: Literal["before_training", "after_voting"] = Field(
        "before_training",
        description="`after_voting`: the labeler learns all classes of the labels, its uncertainty is about these, and "
        "what it has voted for is collapsed, as in the papers.",
    )

    @field_validator("classes")
    @classmethod
    def _one_table(cls, classes: list[CollapsedClassSpec], info: ValidationInfo) -> list[CollapsedClassSpec]:
        preset = info.data.get("preset")
        if preset is not None and classes:
            raise PydanticCustomError("two_tables", "preset and classes exclude each other")
        if preset is None and len(classes) < 2:
            raise PydanticCustomError("no_table", "name a preset, or two classes at least")
        for what, names in (
            ("two classes are called", [one.name for one in classes]),
            ("goes into two classes:", [name for one in classes for name in one.of]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise PydanticCustomError("twice", "{what} {names}", {"what": what, "names": ", ".join(twice)})
        return classes


#: Fields that one method alone has.
_OF_PIXELS = (
    "preset", "hidden", "layers", "max_channels", "class_balance", "balance_by", "precision", "min_class_pixels",
    "keypoint_size",
)  # fmt: skip
_OF_INTERPRETERS = ("head",)


class LabelerSpec(Spec):
    """Settings of the labeler: its training and how it labels."""

    method: Literal["pixels", "interpreter"] = Field(
        "pixels",
        description="`pixels`: networks that label each pixel by its features (DatasetGAN, HandsOff). `interpreter`: a "
        "convolutional branch on whole feature maps, conditioned on the class (BigDatasetGAN); masks alone.",
    )
    head: Literal["released", "paper"] | None = Field(
        None, description="Last convolution of an interpreter: 3×3 (`released`, the default) or 1×1 (`paper`)."
    )
    preset: Literal["fast", "paper"] = Field("fast", description="Named set of defaults.")
    members: int | None = Field(None, ge=1, le=64, description="Ensemble members trained; null: the preset's.")
    keep_members: int | None = Field(
        None, ge=1, le=64, description="Members kept of those; 3 label almost as well as 10, three times as fast."
    )
    hidden: list[Annotated[int, Field(ge=1, le=4096)]] | None = Field(
        None, max_length=4, description="Widths of the hidden layers; empty: linear members; null: the preset's."
    )
    layers: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Feature layers of the generator to look at (`constant`, `blocks.0.conv1`, `blocks.1.conv0`, …); "
        "null: all.",
    )
    max_channels: int | None = Field(
        None, ge=1, le=65536, description="Look at the first so many channels of each layer; null: at all."
    )
    max_steps: int | None = Field(None, ge=1, le=10_000_000, description="Training steps at most; null: the preset's.")
    class_balance: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Exponent e of the class weights frequency^-e: 0 weighs pixels alike, 1 classes; null: the "
        "preset's.",
    )
    balance_by: Literal["loss", "sampling"] = Field(
        "loss", description="Use those weights in the loss, or draw training pixels by them."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Arithmetic of labeling; training is always float32."
    )
    aggregation: Literal["vote", "mean"] = Field(
        "vote", description="Class of a pixel: what most members choose, or the largest mean probability."
    )
    score: Literal["sum", "top10_mean", "class_mean"] | None = Field(
        None,
        description="Uncertainty of an image, by which it is ranked and filtered. `class_mean`: the mean over the "
        "classes that it shows of their mean uncertainty, so that small parts count. `sum`: over all pixels (the "
        "paper). `top10_mean`: the mean of the highest tenth of its pixels (its code). Null: the preset's, "
        "`class_mean` for `fast` and `sum` for `paper`.",
    )
    min_class_pixels: int | None = Field(
        None,
        ge=0,
        le=1 << 30,
        description="Classes 1 to 49 on fewer pixels of a labelled image become class 0 there; null: the preset's, 0 "
        "for `fast` and 30 for `paper`.",
    )
    keypoint_size: Literal["faces", "bodies"] | None = Field(
        None,
        description="Width of the keypoints' Gaussians, by what is labelled: the papers' for faces (5 pixels of 218) "
        "or bodies (25 of 1024). Null: 5 pixels of 256.",
    )
    collapse: CollapseSpec | None = Field(None, description="Fewer classes than the labels have; null: all of them.")
    held_out: float = Field(0.1, ge=0.0, le=0.5, description="Part of the labelled images kept aside for a score.")
    train_on_all: bool = Field(
        True,
        description="Train again on all labelled images once those kept aside are scored, and use that labeler, which "
        "takes twice as long; false: use the labeler that was scored, as earlier releases did.",
    )

    @model_validator(mode="after")
    def _of_the_method(self) -> Self:
        """Refuse fields of the other method."""
        other = _OF_PIXELS if self.method == "interpreter" else _OF_INTERPRETERS
        given = [name for name in other if getattr(self, name) != type(self).model_fields[name].default]
        if given:
            named = {"fields": ", ".join(given), "method": self.method}
            raise PydanticCustomError("other_method", "{fields}: not for the method {method}", named)
        return self

    @field_validator("keep_members")
    @classmethod
    def _of_those_trained(cls, keep: int | None, info: ValidationInfo) -> int | None:
        members = info.data.get("members")
        if keep is not None and members is not None and keep > members:
            raise PydanticCustomError("too_few_members", "only {members} are trained", {"members": members})
        return keep


class LearningSpec(SamplingSpec, FramingSpec):
    """Fields on which a labeler's training images and classes depend; they are stored with it."""

    labeler: LabelerSpec = LabelerSpec()


class LabelingSpec(LearningSpec, JobSpec):
    """Labelled images and how a labeler learns from them."""

    labels: str = Field(description="A finished upload (`upl_…`) or a label set (`ls_…`).", max_length=64)
    generator: str = Field(description="Name or id of a generator.", max_length=64)
    samples: str | None = Field(
        None,
        max_length=64,
        description="The labelled images are of these samples (`smp_…`) and named as they are: their codes are known, "
        "and nothing is inverted.",
    )
    inversion: InversionSpec = InversionSpec()
    preset: Domain | None = Field(
        None,
        description="The papers' settings for a domain, where the request does not state others: widths of the "
        "labeler, steps and radius of the inversion, framing (`humans`: before white), widths of keypoints. They are "
        "meant for 50 labelled images.",
    )
    force: bool = Field(
        False,
        description="Train a labeler even if the generator cannot redraw the labelled images. Otherwise the job fails "
        "before training (`poor_reconstruction`) where the median PSNR of their reconstructions is below the service's "
        "limit, 18 dB unless it is configured otherwise.",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, document: Any) -> Any:
        """Fill in what the preset says and the request does not."""
        return with_domain(document) if isinstance(document, dict) else document


class FoldsSpec(Spec):
    """Cross-validation of a labeler."""

    folds: int = Field(
        5, ge=2, le=MOST_FOLDS, description="Labelers that are trained, each on all images but its part of them."
    )
