"""The service's documents as dictionaries with typed keys.

Times are RFC 3339 strings in UTC. Free-form parts (`info`, `report`, `request`) are plain dictionaries; docs/http.md
describes every field.
"""

from typing import Any, Literal, TypedDict

#: A document without typed keys.
Document = dict[str, Any]

JobState = Literal["queued", "running", "finalizing", "succeeded", "canceling", "canceled", "failed", "expired"]


class Step(TypedDict):
    """One step of a job; ``done`` of ``total`` in its own unit, ``total`` 0 while unknown."""

    name: str
    title: str
    state: Literal["pending", "running", "succeeded", "failed", "canceled"]
    done: int
    total: int
    started_at: str | None
    finished_at: str | None


class Counts(TypedDict):
    """Images of a job."""

    total: int
    done: int
    rejected: int
    failed: int


class JobProblem(TypedDict):
    """One cause of a job's failure."""

    detail: str
    pointer: str | None
    picture: str | None


class JobError(TypedDict):
    """Why a job failed; ``retryable``: the same request may succeed later."""

    code: str
    detail: str
    retryable: bool
    errors: list[JobProblem]


class Job(TypedDict):
    """A job. ``result`` has the ids of what it has made so far, such as ``dataset`` and ``label_set``."""

    id: str
    kind: str
    name: str | None
    state: JobState
    steps: list[Step]
    counts: Counts
    queue_position: int | None
    estimated_finish_at: str | None
    attempts: int
    seed: int
    labels: dict[str, str]
    request: Document
    result: Document
    error: JobError | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    urls: dict[str, str | None]


class Event(TypedDict):
    """One line of a job's log; ``number`` counts up from 1."""

    number: int
    at: str
    level: str
    name: str
    data: Document


class Estimate(TypedDict):
    """Estimate of a request: images drawn and delivered, bytes, seconds (None: unknown)."""

    valid: bool
    count: int | None
    candidates: int | None
    bytes: int | None
    seconds: float | None
    rough: bool
    labels_checked: bool | None
    queued_jobs: int


class File(TypedDict):
    """A file of a resource; fetch it at ``url``."""

    name: str
    bytes: int
    sha256: str
    media_type: str
    url: str


class Upload(TypedDict):
    """A file of images, labelled or not, or a checkpoint; ``pending`` until all of its bytes have arrived."""

    id: str
    filename: str
    size: int
    sha256: str
    state: Literal["pending", "complete"]
    created_at: str
    completed_at: str | None
    expires_at: str | None
    part_size: int | None
    urls: Document


class Training(TypedDict):
    """Course and result of a generator's training. ``report``, ``samples`` and ``curves`` are addresses."""

    images_seen: int
    seconds: float
    sizes: list[list[int]]
    best: Document
    returns: int
    warnings: list[str]
    ended: str
    quality: Document | None
    image_set: Document
    report: str
    samples: str
    curves: str


class Generator(TypedDict):
    """A frozen image generator. ``settings_schema``: JSON Schema of its sampling settings; ``report`` and ``preview``
    are None for a built-in one, ``training`` where the service did not train it; ``quality``: address of its newest
    quality report, None before the first.
    """

    id: str
    name: str
    state: str
    builtin: bool
    digest: str
    height: int
    width: int
    licence: str
    domain: str | None
    family: str
    settings_schema: Document
    labelled_by: list[str]
    classes: list[str] | None
    info: Document
    prepared: Document
    report: Document | None
    preview: str | None
    quality: str | None
    training: Training | None
    created_at: str


class CatalogueEntry(TypedDict):
    """A public checkpoint that can be imported by name; ``resolution``: height, width."""

    name: str
    url: str
    sha256: str | None
    format: str
    licence: str
    domain: str
    resolution: tuple[int, int]
    quirks: list[str]
    verified: bool


class LabelSet(TypedDict):
    """Labelled images that a job has read and checked. ``name``: that of the job."""

    id: str
    digest: str
    name: str | None
    info: Document
    preview: str
    created_at: str


class ImageSet(TypedDict):
    """Unlabelled images at one size. ``classes``: images of each class; ``held_out``: images kept from training."""

    id: str
    name: str
    digest: str
    images: int
    height: int
    width: int
    channels: Literal[1, 3]
    classes: dict[str, int]
    held_out: int
    fit: Literal["crop", "pad", "stretch"]
    flips: bool
    flips_reason: str
    unreadable: int
    copies: int
    warnings: list[str]
    licence: str
    report: str
    contact_sheet: str
    created_at: str


class Labeler(TypedDict):
    """A trained label generator. ``quality``: address of its newest report, None before the first."""

    id: str
    digest: str
    name: str | None
    label_set: str
    generator: str
    inversion: str
    report: Document
    inversion_report: Document | None
    pictures: list[File]
    quality: str | None
    created_at: str


class Encoder(TypedDict):
    """A trained encoder, for ``inversion.encoder`` of a job."""

    id: str
    digest: str
    name: str | None
    generator: str
    label_set: str | None
    report: Document
    pictures: list[File]
    created_at: str


class SampleSet(TypedDict):
    """Images drawn for people to label; ``archive`` is None until they are drawn."""

    id: str
    job: str
    name: str | None
    state: JobState
    seed: int
    request: Document
    archive: str | None
    created_at: str


class Dataset(TypedDict):
    """A labelled dataset. Read ``warnings`` and ``quality`` before its labels are used."""

    id: str
    job: str
    name: str | None
    state: Literal["building", "ready", "partial", "empty", "deleted"]
    count: int
    warnings: list[str]
    quality: Document | None
    info: Document
    created_at: str
    finished_at: str | None
    expires_at: str | None
    pinned: bool
    deleted_at: str | None
    damaged: list[Document]
    urls: dict[str, str]


class Export(TypedDict):
    """A dataset in one format and split; ``bytes``, ``sha256`` and ``url`` are None until it is ready."""

    format: str
    split: float | None
    split_seed: int
    state: JobState
    job: str
    bytes: int | None
    sha256: str | None
    url: str | None


class Alias(TypedDict):
    """A name that points at a dataset."""

    name: str
    dataset: str
    dataset_state: Literal["ready", "deleted", "expired"]
    url: str
    moved_at: str


class Evaluation(TypedDict):
    """An evaluation, with the id of its job; ``report`` and ``report_json`` are None until it has succeeded."""

    id: str
    name: str | None
    dataset: str
    labels: str
    state: JobState
    report: str | None
    report_json: str | None
    created_at: str


class ApiKey(TypedDict):
    """An API key, without the key itself; ``hint``: its first characters."""

    id: str
    name: str
    scopes: list[str]
    hint: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class NewApiKey(ApiKey):
    """An API key that was just created. ``key`` is None where the answer of a first try was lost."""

    key: str | None


class QuotaItem(TypedDict):
    """One limit of the tenant; ``used`` is None where use is not counted."""

    name: str
    limit: int
    used: int | None


class WebhookEndpoint(TypedDict):
    """An address that is notified when jobs end; ``events`` empty: of every end."""

    id: str
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    created_at: str


class NewWebhookEndpoint(WebhookEndpoint):
    """An endpoint that was just created. ``secret`` is None where the answer of a first try was lost."""

    secret: str | None


class WebhookSecret(TypedDict):
    """A new secret of an endpoint."""

    secret: str


class DeliveryAttempt(TypedDict):
    """One try to deliver a message; ``status`` is None where there was no answer."""

    at: str
    status: int | None
    error: str | None


class WebhookDelivery(TypedDict):
    """A message for an endpoint, with every try to deliver it."""

    id: str
    message_id: str
    type: str
    payload: Document
    state: Literal["pending", "delivered", "failed"]
    attempts: list[DeliveryAttempt]
    next_attempt_at: str | None
    created_at: str
