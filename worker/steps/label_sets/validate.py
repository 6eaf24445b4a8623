"""Labelled archive → validated label set; an equal one that is there already is used again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.label_sets.classes import ClassMap
from core.label_sets.label_set import LabelSet
from core.label_sets.reading.reader import read_label_set
from core.label_sets.storage import save_label_set
from core.visualization.label_preview import label_preview
from store.ids import new_id
from store.job_kinds.check_labels import CheckLabelsSpec
from store.job_kinds.generate import GenerateSpec
from store.job_kinds.train_encoder import TrainEncoderSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.requests.labeler import LabelingSpec
from store.resources.artifacts import LABEL_PREVIEW, PREFIXES, NewMade, find_made, get_label_set, upload_of
from store.resources.files import has_files
from store.resources.reports import ClassRow, ClassShare, ImageSize, LabelSetReport, Note, label_set_report
from store.uploads.files import CONTENT, get_upload
from worker.loading import class_map, load_labels, other_labels
from worker.runtime.step_context import StepContext
from worker.samplers import classifier_file
from worker.steps.generation.composition_request import demands_of
from worker.steps.label_sets.class_collapse import delivered_classes
from worker.steps.label_sets.framing import check_frame
from worker.steps.label_sets.training_overlap import overlap_events
from worker.steps.labeler.config import check_labeler


def validate(context: StepContext) -> StepResult:
    """Read the job's upload; every problem in it fails the job at once, and so do requested classes that it lacks,
    for feature layers that the generator lacks, or for an alignment without what that needs. A named label set is taken
    as it is, or read from its upload again where its files were damaged; no labels are none.
    """
    labels: str | None = getattr(context.request(), "labels", None)
    if labels is None:
        return StepResult()
    if labels.startswith(PREFIXES["label_set"] + "_"):
        known = get_label_set(context.db, labels, tenant=context.tenant)
        upload = _upload_of_bare(context, known.id)
        if upload is None:
            warnings = _check_request(context, class_map(known), lambda: load_labels(context, known.id))
            return _with(warnings, _used(known.id, label_set_report(known).images))
        labels = upload
    label_set = read_label_set(
        fetch_upload(context, labels), context.folder, progress=context.progress, should_stop=context.should_stop
    )
    warnings = _check_request(context, label_set.classes, lambda: label_set)
    equal = find_made(context.db, "label_set", label_set.digest, tenant=context.tenant)
    if equal is not None:
        return _with(warnings, _used(equal.id, len(label_set.items)))
    return _with(warnings, _store(context, label_set))


def _with(warnings: tuple[NewEvent, ...], result: StepResult) -> StepResult:
    return replace(result, events=(*result.events, *warnings))


def _upload_of_bare(context: StepContext, label_set_id: str) -> str | None:
    """The upload to read a label set from whose files were removed, since one was damaged; None where it has them."""
    with context.db.read() as connection:
        if has_files(connection, label_set_id):
            return None
        return upload_of(connection, label_set_id, tenant=context.tenant)


def _check_request(context: StepContext, classes: ClassMap, labels: Callable[[], LabelSet]) -> tuple[NewEvent, ...]:
    """Raise for a labeler that the generator cannot serve, for classes that the labels do not have, and for images that
    cannot be aligned; return warnings. `labels`: loads the label set, where it is needed.
    """
    request = context.request()
    if isinstance(request, LabelingSpec):
        check_labeler(context, request)
        if isinstance(request, GenerateSpec) and request.rejection is not None:
            classifier_file(context, request.rejection)
        delivered = delivered_classes(classes, request.labeler.collapse)
        if isinstance(request, GenerateSpec | CheckLabelsSpec):
            demands_of(request.composition, delivered)
    if isinstance(request, LabelingSpec | TrainEncoderSpec):
        check_frame(context, request.generator, request, labels)
        if getattr(request, "samples", None) is None:
            return overlap_events(context, request.generator, request, labels)
    return ()


def fetch_upload(context: StepContext, upload_id: str) -> Path:
    """The archive, under the name that its sender gave it: error messages point to it."""
    filename = get_upload(context.db, upload_id, tenant=context.tenant).filename
    folder = context.folder / "upload"
    folder.mkdir()
    safe = re.sub(r"[^\w.-]+", "_", filename).lstrip(".")[-100:] or "archive"
    return context.fetch(upload_id, CONTENT, into=folder).rename(folder / safe)


def _used(label_set_id: str, images: int) -> StepResult:
    event = NewEvent("label_set.reused", {"label_set": label_set_id, "images": images})
    return StepResult(job_result=JobResult(label_set=label_set_id), events=(event,))


def _store(context: StepContext, label_set: LabelSet) -> StepResult:
    label_set_id = new_id(PREFIXES["label_set"])
    folder = context.folder / "label_set"
    save_label_set(label_set, folder)
    files = tuple(
        context.put(label_set_id, path.name, path, "application/octet-stream") for path in sorted(folder.iterdir())
    )
    preview = context.put(label_set_id, LABEL_PREVIEW, label_preview(label_set), "image/png")
    report = _report(label_set)
    return StepResult(
        files=(*files, preview),
        made=(NewMade("label_set", label_set_id, label_set.digest, report.to_json()),),
        job_result=JobResult(label_set=label_set_id),
        events=(NewEvent("label_set.validated", {"label_set": label_set_id, "images": report.images}),),
    )


def _report(label_set: LabelSet) -> LabelSetReport:
    classes, shares = label_set.classes, label_set.shares.items()
    return LabelSetReport(
        images=len(label_set.items),
        sizes=tuple(ImageSize(height=h, width=w, images=n) for (h, w), n in sorted(label_set.sizes.items())),
        classes=tuple(ClassRow(id=class_id, name=classes.names[class_id]) for class_id in classes.ids),
        ignore_index=classes.ignore_index,
        **other_labels(label_set),
        shares={str(one): ClassShare(pixels=share.pixels, images=share.images) for one, share in shares},
        detected_format=label_set.detected_format,
        notes=tuple(Note(text=note.text, pointer=note.pointer) for note in label_set.notes),
    )
