"""What a caller chooses for a job: the request body of `POST /v1/jobs`, stored with the job, read by the worker.

Unknown fields are refused. Defaults are the method's defaults.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from store.requests.base import Spec
from store.requests.inversion import AlignSpec, Fit, one_way_only
from store.requests.labeler import LabelingSpec
from store.requests.sampling import SamplingSpec

#: Seeds stay below 2^53, so that a JSON reader with doubles does not lose digits.
MAX_SEED = 2**53 - 1
#: An absolute ceiling; the deployment's own limit (`limits.images_per_job`) is usually lower.
MAX_COUNT = 100_000_000
#: Candidates drawn for an image delivered, at most.
CANDIDATES_PER_IMAGE = 10

#: Samples to be labelled by hand at once.
MOST_SAMPLES = 2000

#: Names of datasets. Without `_`, so that none looks like an id.
ALIAS = r"^[a-z0-9][a-z0-9.-]{0,62}$"


class ClassDemandSpec(Spec):
    """At least so many images of the dataset show a class."""

    model_config = ConfigDict(serialize_by_alias=True)

    class_name: str = Field(alias="class", min_length=1, max_length=80, description="Name of the class.")
    min_fraction: float = Field(gt=0.0, le=1.0, description="Part of the delivered images that show it.")
    min_area: float = Field(
        0.001, gt=0.0, le=1.0, description="Part of an image's pixels, as labelled, from which on it shows the class."
    )


class GenerateSpec(LabelingSpec):
    """One call from labelled images to a labelled dataset."""

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["generate"] = "generate"
    count: int = Field(ge=1, le=MAX_COUNT, description="Images delivered, after filtering.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Null: drawn at random and recorded.")
    fresh: bool = Field(
        False, description="Every run of this spec is to draw new data: refuses a seed, which would repeat them."
    )
    alias: Annotated[str, StringConstraints(pattern=ALIAS)] | None = Field(
        None, description="A name, `latest` for example, that points at the dataset once the job has succeeded."
    )
    offset: int = Field(0, ge=0, le=MAX_SEED, description="First sample of the seed's stream.")
    drop_fraction: float = Field(0.1, ge=0.0, le=0.9, description="Most uncertain part that is dropped.")
    drop_per_class: bool = Field(
        True,
        description="No class loses a larger part than the whole does, so that rare and therefore uncertain ones stay. "
        "False: the most uncertain go, whatever they show, as in the paper.",
    )
    composition: list[ClassDemandSpec] = Field(
        default_factory=list,
        max_length=64,
        description="What the dataset has to show. How often the generator draws it is looked at first; more images "
        "are drawn where it is short, and the job fails with the numbers where `max_candidates` cannot meet it.",
    )
    max_uncertainty: float | None = Field(
        None, ge=0.0, description="Images of a higher uncertainty are not delivered; others are drawn for them."
    )
    allow_partial: bool = Field(
        False,
        description="Deliver fewer images where some cannot be made after all attempts; otherwise the job fails then, "
        "and can be resumed.",
    )
    max_candidates: int | None = Field(
        None,
        ge=1,
        le=CANDIDATES_PER_IMAGE * MAX_COUNT,
        description="Images drawn at most, for `composition` and `max_uncertainty`; null: ten times `count`.",
    )
    images_per_shard: int = Field(1000, ge=1, le=100_000, description="Images in one file of the dataset.")

    @field_validator("fresh")
    @classmethod
    def _without_a_seed(cls, fresh: bool, info: ValidationInfo) -> bool:
        if fresh and info.data.get("seed") is not None:
            raise PydanticCustomError("fresh_and_seed", "fresh and a seed exclude each other")
        return fresh


class CheckLabelsSpec(LabelingSpec):
    """Labelled images read and checked against a request, without making anything of them: the job fails with every
    problem that a job with these fields would find in them, and succeeds with a label set.
    """

    kind: Literal["check_labels"] = "check_labels"
    composition: list[ClassDemandSpec] = Field(
        default_factory=list, max_length=64, description="As for `generate`: classes that must be there."
    )


class DrawSamplesSpec(SamplingSpec):
    """Images of a generator for people to label, with their codes kept."""

    kind: Literal["draw_samples"] = "draw_samples"
    generator: str = Field(description="Name or id of a generator.", max_length=64)
    count: int = Field(ge=1, le=MOST_SAMPLES, description="Images.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Null: drawn at random and recorded.")
    offset: int = Field(0, ge=0, le=MAX_SEED, description="First sample of the seed's stream.")
    class_index: int | None = Field(None, ge=0, le=1_000_000, description="Of a conditional generator; null: any.")


ExportFormat = Literal["coco", "yolo", "voc", "masks", "hf", "cvat"]
#: The native format, and those that an export makes.
DeliveryFormat = Literal["webdataset", ExportFormat]


#: What an export's `split` means.
SPLIT = "Fraction of the images that is for validation. Null: 0.1 for `yolo`, whose trainers require it, 0 for others."


class ExportSpec(Spec):
    """A finished dataset in another format."""

    kind: Literal["export"] = "export"
    dataset: str = Field(description="A dataset that is ready (`ds_…`).", max_length=64)
    format: ExportFormat
    split: float | None = Field(None, ge=0.0, le=0.9, description=SPLIT)
    split_seed: int = Field(0, ge=0, le=MAX_SEED, description="Which images are for validation.")


class TrainEncoderSpec(Spec):
    """An encoder for a generator: where inversions begin."""

    kind: Literal["train_encoder"] = "train_encoder"
    generator: str = Field(description="Name or id of a generator.", max_length=64)
    train_on: Literal["labels", "samples", "both"] = Field(
        "samples",
        description="What it learns from: labelled images, the generator's own samples (of known codes), or both.",
    )
    labels: str | None = Field(
        None, max_length=64, description="A finished upload (`upl_…`) or a label set (`ls_…`), unless for `samples`."
    )
    heads: Literal["e4e", "psp"] = Field(
        "e4e", description="One code and small offsets of the layers, or a code of its own for every layer."
    )
    image_size: int = Field(128, ge=16, le=256, description="Pixels of the longer side that it looks at, at most.")
    steps: int | None = Field(None, ge=1, le=1_000_000, description="Training steps; null: the default.")
    mirror: bool = Field(True, description="Labelled images are mirrored left to right at random.")
    feature_weight: float = Field(
        0.0,
        ge=0.0,
        le=100.0,
        description="Weight of a loss on what the perceptual network sees in an image as a whole, wherever it is.",
    )
    fit: Fit = "crop"
    align: AlignSpec = AlignSpec()

    _one_way_only = field_validator("align")(one_way_only)


class EvaluateSpec(Spec):
    """What a dataset is worth, measured against held-out labels."""

    kind: Literal["evaluate"] = "evaluate"
    dataset: str = Field(description="A dataset that is ready (`ds_…`).", max_length=64)
    labels: str = Field(
        description="Labelled images that had no part in making it: an upload (`upl_…`) or a label set (`ls_…`).",
        max_length=64,
    )
    preset: Literal["small", "handsoff", "knowing_the_distance"] = Field(
        "small", description="How every net is trained: ours for small images, or a paper’s settings."
    )
    steps: int | None = Field(None, ge=1, le=1_000_000, description="Training steps of each net; null: the preset’s.")
    repeats: int = Field(3, ge=1, le=100, description="Paired repeats of every arm; fewer than three prove little.")
    task: Literal["segmentation", "keypoints", "depth"] | None = Field(
        None, description="Which of the dataset’s labels are judged; null: the first of those that it has."
    )
    baselines: list[Literal["from_scratch", "head_only", "fine_tuned", "frozen_features"]] = Field(
        default=["from_scratch", "head_only", "fine_tuned", "frozen_features"],
        min_length=1,
        max_length=4,
        description="What the dataset has to beat, with the same labels. `frozen_features` needs DINOv2’s weights on "
        "the worker; where they are absent, the report says so.",
    )
    generated_labels: str | None = Field(
        None,
        max_length=64,
        description="Some of the dataset’s own images, labelled by people and named by their index (`000000012`): an "
        "upload or a label set. What a labeler learns from these is then one more thing to beat.",
    )
    seed: int = Field(0, ge=0, le=MAX_SEED)


class CheckpointAnswers(Spec):
    """What the caller says where a checkpoint is silent; whatever the file says itself must agree."""

    network: str | None = Field(
        None, max_length=64, description="Which of several generators in the file; null: the averaged one."
    )
    mapping_lr_multiplier: float | None = Field(None, gt=0, le=1000)
    conv_clamp: float | None = Field(None, ge=0, description="0 says that nothing is clamped.")


class ImportGeneratorSpec(Spec):
    """A checkpoint made elsewhere, to become a generator."""

    kind: Literal["import_generator"] = "import_generator"
    source: str = Field(
        min_length=1,
        max_length=2000,
        description="A finished upload (`upl_…`), an https URL, or a name of the catalogue.",
    )
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")] = Field(
        description="What the generator will be called: lower-case letters, digits, `.` and `-`."
    )
    licence: str = Field("", max_length=500, description="What its maker permits. Files do not say it.")
    domain: str = Field("", max_length=200, description="What it draws, in a few words.")
    classes: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=10_000, description="Names of the classes, in the order of its class vector."
    )
    answers: CheckpointAnswers = CheckpointAnswers()
