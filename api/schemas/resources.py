"""Generators, label sets, labelers and datasets."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas.base import Document, Info, Request
from store.requests.labeler import MOST_FOLDS
from store.resources.artifacts import Made
from store.resources.dataset_reports import DatasetReport
from store.resources.datasets import DAMAGED
from store.resources.datasets import Dataset as StoredDataset
from store.resources.descriptions import described
from store.resources.files import File as StoredFile
from store.resources.generators import IMPORTED, PREPARED, TRAINED
from store.resources.generators import Generator as StoredGenerator


class Training(Document):
    """Course and result of a generator's training."""

    images_seen: int = Field(description="Real images shown so far, with repetitions.")
    seconds: float = Field(description="Time of training, pauses not counted.")
    sizes: list[list[int]] = Field(description="(height, width) of the sizes that the training goes through.")
    best: Info = Field(description="Figures of the point of the curves with the stored weights.")
    returns: int = Field(description="Returns to an earlier state after a collapse.")
    warnings: list[str] = Field(description="Signs of collapse, what was done, and what to change.")
    ended: str = Field(description="Reason of the end; empty while it goes on, and where the job was canceled.")
    quality: Info | None = Field(description="Distances to held-out images, memorisation; null before the end.")
    image_set: Info = Field(description="The images: id, name, digest, number, licence.")
    report: str = Field(description="Settings, curves and all of the above, as JSON.")
    samples: str = Field(description="Samples of the same codes at the last point, as a picture.")
    curves: str = Field(description="The curves, as a picture.")


class Generator(Document):
    """A frozen image generator."""

    id: str
    name: str = Field(examples=["heads64"])
    state: str = Field(
        description="`ready`, or `training`: better weights replace it, and no job can use it yet.", examples=["ready"]
    )
    builtin: bool
    digest: str = Field(description="SHA-256 of its weights.")
    height: int
    width: int
    licence: str
    domain: str | None = Field(description="What it draws.")
    family: str = Field(description="Generator family.", examples=["stylegan2"])
    settings_schema: Info = Field(description="JSON Schema of its sampling settings (`sampling` of a request).")
    labelled_by: list[str] = Field(
        description="How labelled images get their codes: `inversion` of photographs, an `encoder`, drawn `samples`."
    )
    classes: list[str] | None = Field(description="Classes it can be asked for; null: it is not conditional.")
    info: Info = Field(description="Its whole description.")
    prepared: Info = Field(
        description="The perceptual network and the encoder that were trained for it after it was made; each becomes "
        "its default."
    )
    report: Info | None = Field(description="How it was imported, and what was noticed; null for a built-in one.")
    preview: str | None = Field(description="Samples at several sampling settings, as a picture.")
    quality: str | None = Field(description="Its quality report, a page (`.json`, `.png`); null: none was made yet.")
    training: Training | None = Field(
        description="Course and result of its training by the service; null: it was not trained here."
    )
    created_at: datetime


class LabelSet(Document):
    """Labelled images that have been validated as a whole. Made by a job from an upload."""

    id: str = Field(examples=["ls_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    digest: str = Field(description="SHA-256 of everything that went in; the same images give the same label set.")
    name: str | None = Field(description="The name of the job that made it.")
    info: Info = Field(description="Format found, classes, counts, and what was noticed.")
    preview: str = Field(description="A picture of the first labels over their images.")
    created_at: datetime


class File(Document):
    """A file of a resource."""

    name: str
    bytes: int
    sha256: str
    media_type: str
    url: str


class Labeler(Document):
    """A trained label generator: trained once, used for any number of datasets."""

    id: str = Field(examples=["lab_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    digest: str
    name: str | None = Field(description="The name of the job that trained it.")
    label_set: str
    generator: str
    inversion: str
    report: Info = Field(description="Held-out score, class by class, and how it was trained.")
    inversion_report: Info | None = Field(description="How well the labelled images were found, image by image.")
    pictures: list[File] = Field(description="Each labelled image beside its reconstruction.")
    quality: str | None = Field(description="Its quality report, a page (`.json`, `.png`); null: none was made yet.")
    created_at: datetime


class LabelerReportRequest(Request):
    """Settings of a quality report."""

    folds: int = Field(5, ge=2, le=MOST_FOLDS, description="Parts into which its labelled images are cut.")


class DatasetUrls(Document):
    """Addresses of a dataset."""

    self: str
    job: str
    manifest: str
    archive: str
    exports: str
    contact_sheet: str
    card: str


class DamagedFile(Document):
    """A file of a dataset whose stored bytes are gone or wrong."""

    path: str = Field(examples=["shards/shard-000000.tar"])
    detail: str


class HeldOutScore(Document):
    """Scores of the labeler on labelled images that were kept aside from its training."""

    images: int = Field(description="How many were kept aside.")
    mean_iou: float | None = Field(description="0 to 1; null: no classes were scored.")
    accuracy: float | None = Field(description="Share of pixels labelled right, 0 to 1.")


class Reconstruction(Document):
    """Quality of the labelled images' reconstructions. Below a median PSNR of 20 dB it draws other pictures."""

    images: int
    flagged: int = Field(description="Images reconstructed badly.")
    median_psnr: float = Field(description="dB.")
    median_perceptual: float | None = Field(description="Perceptual distance; 0 is equal.")
    perceptual_name: str = Field(description="Which perceptual distance; values of different ones do not compare.")


class Quality(Document):
    """Measurements of a dataset when it was made."""

    held_out: HeldOutScore | None = Field(description="Null: no labelled images were kept aside.")
    reconstruction: Reconstruction
    score: str | None = Field(
        description="Image score by which the images were ranked and filtered; null for datasets of earlier releases."
    )
    rare_classes: list[str] = Field(
        description="One sentence for each class that fewer than 10 labelled images show, or whose IoU on the images "
        "kept aside is below 0.2."
    )
    do_not_use: list[str] = Field(description="Why the labels should not be used without a look at them.")


class Dataset(Document):
    """A labelled dataset. Readable whole when `ready`; `partial` when its job ended early with some work finished."""

    id: str = Field(examples=["ds_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    job: str
    name: str | None = Field(description="The name of its job.")
    state: Literal["building", "ready", "partial", "empty", "deleted"]
    count: int = Field(description="Images asked for.")
    warnings: list[str] = Field(description="Reasons not to use it, worst first.")
    quality: Quality | None = Field(description="Null unless `ready`.")
    info: Info = Field(description="Counts, bytes, image size, scores and warnings; empty until it is ready.")
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="Null: it stays.")
    pinned: bool = Field(description="It stays whatever its job's retention.")
    deleted_at: datetime | None = Field(description="Its files go 24 hours later; until then it can be taken back.")
    damaged: list[DamagedFile] = Field(
        description="Files that could not be read as they were stored, until one is read whole again."
    )
    urls: DatasetUrls


class DatasetChange(Request):
    """Change of a dataset."""

    pinned: bool = Field(description="True: it stays beyond its time. False: it ends, a day from now at the earliest.")


def generator_document(generator: StoredGenerator, has_report: bool) -> Generator:
    """Return the document of a generator."""
    description = described(generator.info)
    return Generator(
        id=generator.id,
        name=generator.name,
        state=generator.state,
        builtin=generator.builtin,
        digest=generator.digest,
        height=generator.height,
        width=generator.width,
        licence=generator.licence,
        domain=description.domain,
        family=description.family,
        settings_schema=dict(description.settings_schema),
        labelled_by=list(description.labelled_by),
        classes=list(description.class_names) or None,
        info={name: value for name, value in generator.info.items() if name not in _REPORTS},
        prepared=generator.info.get(PREPARED, {}),
        report=generator.info.get(IMPORTED),
        quality=f"/v1/generators/{generator.id}/report" if has_report else None,
        preview=f"/v1/generators/{generator.id}/preview" if _has_preview(generator) else None,
        training=_training(generator),
        created_at=generator.created_at,
    )


#: Entries of a generator's description that are fields of the document.
_REPORTS = (IMPORTED, PREPARED, TRAINED)


def _has_preview(generator: StoredGenerator) -> bool:
    finished = generator.info.get(TRAINED, {}).get("ended")
    return IMPORTED in generator.info or bool(finished)


def _training(generator: StoredGenerator) -> Training | None:
    facts = generator.info.get(TRAINED)
    if facts is None:
        return None
    at = f"/v1/generators/{generator.id}"
    return Training(
        images_seen=facts["images_seen"],
        seconds=facts["seconds"],
        sizes=facts["sizes"],
        best=facts["best"],
        returns=facts["returns"],
        warnings=facts["warnings"],
        ended=facts["ended"],
        quality=facts.get("quality"),
        image_set=facts["image_set"],
        report=f"{at}/training",
        samples=f"{at}/samples",
        curves=f"{at}/curves",
    )


def label_set_document(made: Made) -> LabelSet:
    """Return the document of a label set."""
    preview = f"/v1/label-sets/{made.id}/preview"
    return LabelSet(
        id=made.id, digest=made.digest, name=made.name, info=made.info, preview=preview, created_at=made.created_at
    )


def file_document(file: StoredFile, url: str) -> File:
    """Return the document of a file."""
    return File(name=file.name, bytes=file.bytes, sha256=file.sha256, media_type=file.media_type, url=url)


def labeler_document(made: Made, inversion: Made | None, pictures: list[File], judged: bool) -> Labeler:
    """Return the document of a labeler."""
    return Labeler(
        id=made.id,
        digest=made.digest,
        name=made.name,
        label_set=made.parents["label_set_id"],
        generator=made.parents["generator_id"],
        inversion=made.parents["inversion_id"],
        report=made.info,
        inversion_report=inversion.info if inversion else None,
        pictures=pictures,
        quality=f"/v1/labelers/{made.id}/report" if judged else None,
        created_at=made.created_at,
    )


def _quality_document(report: DatasetReport) -> Quality | None:
    return None if report.quality is None else Quality.model_validate(report.quality.model_dump())


def dataset_document(dataset: StoredDataset) -> Dataset:
    """Return the document of a dataset."""
    path, report = f"/v1/datasets/{dataset.id}", dataset.report
    return Dataset(
        id=dataset.id,
        job=dataset.job_id,
        name=dataset.name,
        state=dataset.state,
        count=dataset.count,
        warnings=list(report.warnings),
        quality=_quality_document(report),
        info={name: value for name, value in dataset.info.items() if name != DAMAGED},
        created_at=dataset.created_at,
        finished_at=dataset.finished_at,
        expires_at=dataset.expires_at,
        pinned=dataset.pinned,
        deleted_at=dataset.deleted_at,
        damaged=[DamagedFile(path=path, detail=why) for path, why in sorted(report.damaged.items())],
        urls=DatasetUrls(
            self=path,
            job=f"/v1/jobs/{dataset.job_id}",
            manifest=f"{path}/manifest",
            archive=f"{path}/archive",
            exports=f"{path}/exports",
            contact_sheet=f"{path}/contact-sheet",
            card=f"{path}/card",
        ),
    )
