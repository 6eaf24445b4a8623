"""Uploaded photographs → packed images with their index, a report and a contact sheet."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from core.run import Run
from core.training.flips import choose_flips, flip_warnings
from core.training.image_index import write_index
from core.training.image_sources.reader import Photographs, read_photographs
from core.training.images import PackedImages, PackReport, Select, pack_images
from core.training.long_tail import long_tailed
from core.visualization.image_sheets import image_sheet
from store.ids import new_id
from store.job_kinds.add_images import AddImagesSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.resources.image_sets import CONTACT_SHEET, INDEX, PACKED, PREFIX, REPORT, ImageSetFacts, NewImageSet
from worker.loading import prepare_torch
from worker.runtime.step_context import StepContext
from worker.steps.label_sets.validate import fetch_upload

#: Unreadable files and copies that a report lists.
_LISTED = 10_000


def add_images(context: StepContext) -> StepResult:
    """Read the upload, pack its photographs, and keep them with a report; nothing of the upload itself is kept.

    Raises ImageSetError for an archive that is refused and for photographs that cannot be packed.
    """
    prepare_torch(context)
    spec, image_set_id = context.request(AddImagesSpec), new_id(PREFIX)
    upload = fetch_upload(context, spec.source)
    found = read_photographs(
        upload, context.folder / "entries", classes=spec.classes == "folders", should_stop=context.should_stop
    )
    licence = spec.licence or found.licence
    packed, run = context.folder / PACKED, _run(context, spec, found)
    report = pack_images(
        found.images, packed, (spec.height, spec.width), spec.fit, licence=licence, select=_select(spec), run=run
    )
    upload.unlink()
    images = PackedImages(packed)
    write_index(images.training, context.folder / INDEX, run)
    facts = _facts(spec, report)
    document = json.dumps(_report(spec, found, report, facts), indent=1).encode()
    title = f"{spec.name}: {report.images:,} images at {spec.width} x {spec.height} (width x height)"
    sheet = image_sheet(images, title, _subtitle(report, facts, licence), spec.seed)
    files = (
        context.put(image_set_id, PACKED, packed, "application/octet-stream", items=report.images),
        context.put(image_set_id, INDEX, context.folder / INDEX, "application/octet-stream"),
        context.put(image_set_id, REPORT, document, "application/json"),
        context.put(image_set_id, CONTACT_SHEET, sheet, "image/png"),
    )
    made = NewImageSet(
        image_set_id,
        spec.name,
        images.digest,
        report.images,
        spec.height,
        spec.width,
        licence,
        facts.model_dump(mode="json"),
    )
    warnings = tuple(NewEvent("image_set.warning", {"text": text}, "warning") for text in facts.warnings)
    return StepResult(
        files=files,
        image_set=made,
        job_result=JobResult(image_set=image_set_id),
        events=(NewEvent("image_set.added", {"image_set": image_set_id, "images": report.images}), *warnings),
    )


def _run(context: StepContext, spec: AddImagesSpec, found: Photographs) -> Run:
    """Return surroundings whose progress has the number of files as its total, where that is known."""
    return replace(
        context.run("cpu", seed=spec.seed),
        progress=lambda done, total: context.progress(done, max(done, found.total or total)),
    )


def _select(spec: AddImagesSpec) -> Select | None:
    if spec.imbalance is None:
        return None
    imbalance = spec.imbalance
    return lambda classes: long_tailed(classes, imbalance, spec.seed)


def _facts(spec: AddImagesSpec, report: PackReport) -> ImageSetFacts:
    """Return the facts that requests are checked against and lists show."""
    flips, reason = choose_flips(spec.flips, report.counts)
    return ImageSetFacts(
        channels=report.channels,
        classes=report.counts,
        held_out=report.held_out,
        fit=spec.fit,
        flips=flips,
        flips_reason=reason,
        imbalance=spec.imbalance,
        left_out=report.left_out,
        unreadable=len(report.unreadable),
        copies=len(report.copies),
        warnings=(*_warnings(report), *flip_warnings(flips, spec.flips, report.asymmetry)),
    )


def _warnings(report: PackReport) -> list[str]:
    found = list(report.notes)
    if report.unreadable:
        found.append(f"files that cannot be read and are left out: {len(report.unreadable)}; the report names them")
    if report.copies:
        found.append(
            f"images that are copies of others: {len(report.copies)}; none is held out, and the report names them"
        )
    return found


def _report(spec: AddImagesSpec, found: Photographs, report: PackReport, facts: ImageSetFacts) -> dict[str, Any]:
    """Return the whole report, JSON values."""
    return {
        "name": spec.name,
        "images": report.images,
        "height": spec.height,
        "width": spec.width,
        "format": found.format,
        "licence": spec.licence or found.licence,
        **facts.model_dump(mode="json"),
        "asymmetry": round(report.asymmetry, 4),
        "unreadable": [{"file": one.pointer, "reason": one.detail} for one in report.unreadable[:_LISTED]],
        "copies": [{"image": image, "of": of} for image, of in report.copies[:_LISTED]],
        "unreadable_files": facts.unreadable,
        "copied_images": facts.copies,
    }


def _subtitle(report: PackReport, facts: ImageSetFacts, licence: str) -> str:
    parts = [
        f"{report.held_out} held out of training",
        f"brought to size by {facts.fit}",
        "mirrored in training" if facts.flips else "not mirrored in training",
        f"unreadable files: {facts.unreadable}",
        f"copies: {facts.copies}",
        f"licence: {licence.splitlines()[0][:100] if licence else 'not given'}",
    ]
    return ", ".join(parts)
