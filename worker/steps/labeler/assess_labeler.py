"""A labeler → what it is worth: labelers of parts of its images label the rest, and the truth is held against that."""

from __future__ import annotations

import json
from dataclasses import replace

from core.errors import LabelerError, Problem
from core.evaluation.labeler_quality import Reconstruction, labeler_quality
from core.evaluation.report.labeler_report import report_html, report_png
from core.labeling.cross_validation import cross_validate
from core.labeling.methods import config_from_json
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import LabelerMade
from store.requests.labeler import FoldsSpec
from store.requests.sampling import sampling_settings
from store.resources.artifacts import get_inversion, get_labeler
from store.resources.quality_reports import REPORT_HTML, REPORT_JSON, REPORT_PNG, report_file
from store.resources.reports import inversion_report, labeler_report
from worker.digests import json_values
from worker.loading import fitted_labels, load_source
from worker.runtime.step_context import StepContext
from worker.samplers import bind_sampler
from worker.steps.label_sets.class_collapse import taught
from worker.steps.labeler.training_set import training_set_of


def assess_labeler(context: StepContext) -> StepResult:
    """Cross-validate with the labeler's own settings, on the images that it was trained on; finished folds survive an
    interruption. Raises LabelerError for a labeler from before its request was kept with it.
    """
    labeler = get_labeler(context.db, context.result(LabelerMade).labeler, tenant=context.tenant)
    report = labeler_report(labeler)
    asked = report.asked
    if asked is None:
        problem = Problem("was trained by an older version: train it again", labeler.id)
        raise LabelerError("this labeler cannot be assessed", [problem])
    source = load_source(context, labeler.parents["generator_id"])
    framed = fitted_labels(context, labeler.parents["label_set_id"], source, asked)
    numbers = {item.name: number for number, item in enumerate(framed.items)}
    dropped = {row.name for row in report.dropped}
    used = [number for name, number in numbers.items() if name not in dropped]
    mirrors = [numbers[name] for name in report.mirrored]
    inversion = get_inversion(context.db, labeler.parents["inversion_id"], tenant=context.tenant)
    sampler = bind_sampler(context, source, sampling_settings(asked)).sampler
    folds = min(context.request(FoldsSpec).folds, len(used))
    training_set = training_set_of(context, framed, inversion, used, mirrors, asked.labeler.collapse)
    labels = replace(taught(framed, asked.labeler.collapse), items=training_set.items[: len(used)])
    found = context.resume(
        lambda kept: cross_validate(
            sampler,
            training_set.codes,
            training_set.items,
            labels.classes.count,
            config_from_json(report.settings),
            folds,
            origins=training_set.origins,
            run=context.run(source.device, kept),
        )
    )
    reconstructed = [
        Reconstruction(row.name, row.psnr, row.perceptual, row.flags) for row in inversion_report(inversion).per_image
    ]
    quality = labeler_quality(labels, found, reconstructed, folds)
    title = f"Quality of {labeler.id}"
    document = json_values({"labeler": labeler.id, "report": context.claim.job_id, **quality.document})
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False).encode()
    files = tuple(
        context.put(labeler.id, report_file(context.claim.job_id, name), content, media_type)
        for name, content, media_type in (
            (REPORT_JSON, text, "application/json"),
            (REPORT_PNG, report_png(quality, labels, found, title), "image/png"),
            (REPORT_HTML, report_html(quality, labels, found, title).encode(), "text/html; charset=utf-8"),
        )
    )
    return StepResult(files=files, events=(NewEvent("labeler.assessed", {"labeler": labeler.id, "folds": folds}),))
