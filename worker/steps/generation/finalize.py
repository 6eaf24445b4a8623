"""Committed candidates → the dataset: exactly `count` kept, packed, described; the manifest is written last.

Where what is asked for needs more candidates, those are drawn first, and this step is done once more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from math import isnan
from typing import Any

from contracts.sampling_settings import with_defaults
from core.datasets.card import write_card
from core.datasets.class_gallery import Galleries
from core.datasets.croissant import write_croissant
from core.datasets.manifest import build_manifest, manifest_bytes
from core.datasets.quality_warnings import (
    DatasetFacts,
    DroppedFacts,
    GeneratorFacts,
    HeldOutFacts,
    InvertedLabel,
    SteeredClass,
    plain_warnings,
    rare_classes_of,
    reasons_against,
)
from core.datasets.training_script import TRAINING_SCRIPT, training_script
from core.labeling.config import Score
from core.sampling.candidates import CandidateTable
from store.first_release import SETTING_ALIASES
from store.job_kinds.generate import GenerateSpec
from store.job_kinds.generate_shards import SampleRange, first_shard
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import DatasetBegun, InversionMade, LabelerMade, LabelSetMade
from store.jobs.results import shard_results
from store.jobs.shards import ShardPlan
from store.requests.sampling import sampling_settings
from store.resources.artifacts import Made, get_inversion, get_label_set, get_labeler
from store.resources.dataset_reports import DatasetReport, DroppedCounts, HeldOutScore, Reconstruction
from store.resources.datasets import CARD, CONTACT_SHEET, CROISSANT, MANIFEST, STATISTICS
from store.resources.files import File, list_files
from store.resources.reports import inversion_report, labeler_report
from worker.loading import Source, class_map, fitted_labels, load_labels, load_source, other_labels
from worker.runtime.step_context import StepContext
from worker.samplers import drawn_classes
from worker.steps.generation.candidate_index import Drawn
from worker.steps.generation.composition_request import CompositionRequest
from worker.steps.generation.packing import SCORES, Packing
from worker.steps.label_sets.class_collapse import delivered, delivered_classes, taught

#: What of the request shapes the samples; names of uploads and the caller's tags do not.
_SETTINGS = (
    "align",
    "background",
    "classes",
    "composition",
    "count",
    "drop_fraction",
    "drop_per_class",
    "fit",
    "images_per_class",
    "images_per_shard",
    "inversion",
    "labeler",
    "max_candidates",
    "max_uncertainty",
    "offset",
    "preset",
    "rejection",
)


def finalize(context: StepContext) -> StepResult:
    """Ask for more candidates, or keep the least uncertain ones, pack them, write card, contact sheet, statistics and,
    last, the manifest.
    """
    label_set, inversion, labeler = _made(context)
    request = context.request(GenerateSpec)
    classes = delivered_classes(class_map(label_set), request.labeler.collapse)
    candidates, drawn = _gather(context, classes.count), Drawn.of(context.db, context.claim.job_id)
    image_classes = drawn_classes(load_source(context, request.generator), request.classes)
    composition = CompositionRequest.of(request, classes).of_classes(list(image_classes.values()), drawn.ranges)
    seen = composition.look(candidates)
    found = [row.to_json() for row in seen]
    if drawn.lacking:
        # What could not be made was tried often enough; the request allows fewer images.
        composition = composition.of_fewer(len(candidates))
    elif (wanted := composition.candidates_wanted(seen)) > len(candidates):
        looked = NewEvent("dataset.prevalence", {"candidates": len(candidates), "wanted": wanted, "found": found})
        return StepResult(top_up=(_more(context, len(candidates), wanted),), events=(looked,))
    kept, certain = composition.select(candidates), composition.select_by_uncertainty(candidates)
    packing = Packing(context, kept, certain, candidates, drawn, Galleries(classes, image_classes))
    packing.run()
    facts = _facts(context, packing, composition, len(candidates), label_set, inversion, labeler)
    dataset = context.result(DatasetBegun).dataset
    described = [*packing.indices, *_describe(context, dataset, facts, packing)]
    digests = {"generator": facts.generator.digest, **facts.digests}
    manifest = manifest_bytes(
        build_manifest(
            dataset,
            packing.entries,
            facts.classes,
            complete=facts.complete,
            settings=facts.settings,
            digests=digests,
            labels=other_labels(load_labels(context, label_set.id)),
            files=[{"path": file.name, "bytes": file.bytes, "sha256": file.sha256} for file in described],
        )
    )
    files = [*packing.files, *described, context.put(dataset, MANIFEST, manifest, "application/json")]
    summary = {"dataset": dataset, "count": composition.count, "shards": len(packing.entries), "found": found}
    return StepResult(
        files=tuple(files),
        rejected=len(candidates) - composition.count,
        dataset=_report(facts, drawn, files, inversion),
        events=(NewEvent("dataset.finished", summary),),
    )


def _gather(context: StepContext, class_count: int) -> CandidateTable:
    """The rows of all candidates in order, from the files that were committed with them."""
    table = CandidateTable(context.folder / "candidates.f64", class_count)
    with table.path.open("wb") as target:
        for file in list_files(context.db, context.claim.job_id, tenant=context.tenant, prefix=SCORES):
            context.append(file, target)
    return table


def _more(context: StepContext, there: int, wanted: int) -> ShardPlan:
    """The first shard of the candidates after those that are there, in batches as large as theirs."""
    first = next(shard_results(context.db, context.claim.job_id, "sample"))
    offset = context.request(GenerateSpec).offset
    return first_shard(offset + there, offset + wanted, SampleRange.of(first.input).batch, context.settings.worker)


def _made(context: StepContext) -> tuple[Made, Made, Made]:
    return (
        get_label_set(context.db, context.result(LabelSetMade).label_set, tenant=context.tenant),
        get_inversion(context.db, context.result(InversionMade).inversion, tenant=context.tenant),
        get_labeler(context.db, context.result(LabelerMade).labeler, tenant=context.tenant),
    )


def _facts(
    context: StepContext,
    packing: Packing,
    composition: CompositionRequest,
    candidates: int,
    label_set: Made,
    inversion: Made,
    labeler: Made,
) -> DatasetFacts:
    request = context.request(GenerateSpec)
    source = load_source(context, request.generator)
    fitted = fitted_labels(context, label_set.id, source, request)
    labels = delivered(fitted, request.labeler.collapse)
    same_classes = taught(fitted, request.labeler.collapse).classes == labels.classes
    count, score = packing.statistics.count, _image_score(labeler)
    return DatasetFacts(
        # Equal runs write equal cards and pictures: the id of this one stands in the manifest alone.
        name=f"{source.row.name}: {count:,} labelled image{'s' * (count != 1)}, seed {context.claim.seed}",
        classes=labels.classes,
        statistics=packing.statistics,
        requested=request.count,
        candidates=candidates,
        complete=packing.statistics.count == request.count,
        size=source.size,
        generator=GeneratorFacts(source.row.name, source.info.digest, source.info.licence, source.info.domain),
        label_count=len(labels.items),
        label_shares=labels.shares,
        inversion=_inverted(inversion, {row.name for row in labeler_report(labeler).dropped}),
        perceptual=inversion_report(inversion).perceptual_name,
        seen_in_training=sorted(inversion_report(inversion).seen_in_training),
        digests={"label_set": label_set.digest, "inversion": inversion.digest, "labeler": labeler.digest},
        settings={"seed": context.claim.seed, "score": score, **_settings(request, source)},
        pictures={"Contact sheet": CONTACT_SHEET},
        held_out=_held_out(labeler, same_classes=same_classes),
        dropped=DroppedFacts(packing.dropped.uncertain, packing.dropped.composition),
        steered=[SteeredClass(one.class_id, float(one.min_fraction), one.min_area) for one in composition.demands],
        score=score,
    )


def _image_score(labeler: Made) -> Score:
    """The image score of a labeler, by which its samples are ranked."""
    score: Score = labeler_report(labeler).settings["score"]
    return score


def _held_out(labeler: Made, *, same_classes: bool) -> HeldOutFacts | None:
    """Scores of the labeler on the images that were kept aside, if any were; of single classes where the dataset has
    the classes that were learnt.
    """
    report = labeler_report(labeler)
    score = report.held_out
    if score is None:
        return None
    by_class = score.iou if same_classes else None
    iou = None if by_class is None else {int(one): value for one, value in by_class.items() if value is not None}
    return HeldOutFacts(len(score.images), score.mean_iou, score.accuracy, iou, report.trained_on_all)


def _settings(request: GenerateSpec, source: Source) -> dict[str, Any]:
    complete = request.model_dump(mode="json")
    sampling = with_defaults(source.generator.settings_schema, sampling_settings(request))
    by_alias = {name: sampling[name] for name in SETTING_ALIASES if name in sampling}
    return {name: complete[name] for name in _SETTINGS} | by_alias | {"sampling": sampling}


def _inverted(inversion: Made, dropped: Collection[str]) -> list[InvertedLabel]:
    return [
        InvertedLabel(row.name, row.psnr, row.perceptual, row.flagged, row.name in dropped)
        for row in inversion_report(inversion).per_image
    ]


def _describe(context: StepContext, dataset: str, facts: DatasetFacts, packing: Packing) -> list[File]:
    """Return contact sheet, statistics, cards for people and machines, training script, a gallery for each class."""
    subtitle = (
        f"{facts.statistics.count} of {facts.candidates} drawn by {facts.generator.name}, "
        f"labelled from {facts.label_count} images. Seed {context.claim.seed}."
    )
    statistics = json.dumps(facts.statistics.to_json(), indent=1, sort_keys=True, allow_nan=False).encode()
    sheet = packing.sheet(facts.classes, facts.name, subtitle)
    return [
        context.put(dataset, CONTACT_SHEET, sheet, "image/png"),
        context.put(dataset, STATISTICS, statistics, "application/json"),
        context.put(dataset, CARD, write_card(facts).encode(), "text/markdown; charset=utf-8"),
        context.put(dataset, CROISSANT, write_croissant(facts, packing.entries), "application/ld+json"),
        *([context.put(dataset, TRAINING_SCRIPT, training_script(), "text/x-python")] if facts.classes.names else []),
        *(context.put(dataset, path, png, "image/png") for path, png in packing.galleries.pictures()),
    ]


def _report(facts: DatasetFacts, drawn: Drawn, files: Sequence[File], inversion: Made) -> DatasetReport:
    score, found = facts.held_out, inversion_report(inversion)
    return DatasetReport(
        count=facts.statistics.count,
        candidates=facts.candidates,
        bytes=sum(file.bytes for file in files),
        height=facts.size[0],
        width=facts.size[1],
        manifest_sha256=files[-1].sha256,
        next_offset=drawn.end,
        dropped=DroppedCounts(uncertain=facts.dropped.uncertain, composition=facts.dropped.composition),
        inversion=Reconstruction(
            images=found.images,
            flagged=found.flagged,
            median_psnr=found.median_psnr,
            median_perceptual=None if isnan(found.median_perceptual) else found.median_perceptual,
            perceptual_name=found.perceptual_name,
        ),
        held_out=HeldOutScore(images=score.images, mean_iou=score.mean_iou, accuracy=score.accuracy) if score else None,
        score=facts.score,
        rare_classes=tuple(rare_classes_of(facts)),
        warnings=tuple(plain_warnings(facts)),
        do_not_use=tuple(reasons_against(facts)),
    )
