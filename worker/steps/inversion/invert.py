"""Label set → codes of the generator, with a report and a picture for each image; and codes of the mirror images.

Made once per set and settings; and each image once, whatever set it comes in. A crash costs the steps since the last
checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from contracts.image_classes import class_indices
from core.errors import LabelSetError, PoorReconstructionError, Problem
from core.generators.interface import Codes, Encodes, Invertible, Sampler
from core.generators.stylegan2 import aliases
from core.image_arrays import as_pictures, as_tensor
from core.inversion.config import InversionConfig
from core.inversion.known_codes import encoded_codes
from core.inversion.refine import invert as refine
from core.inversion.report import InvertedImage, summarize
from core.label_sets.flip import mirrored
from core.label_sets.image_classes import IMAGE_CLASSES
from core.label_sets.label_set import LabelSet
from core.visualization.contact_sheets import InversionRow, inversion_picture, inversion_sheet
from store.ids import new_id
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult, LabelSetMade
from store.requests.inversion import InversionSpec
from store.requests.labeler import LabelingSpec
from store.requests.sampling import sampling_settings
from store.resources.artifacts import PREFIXES, Made, NewMade, find_made
from store.resources.files import File
from store.resources.reports import ImageReport, InversionReport, inversion_report
from worker.digests import digest_of
from worker.loading import CODES, REPORT, Source, codes_content, fitted_labels, load_labels, load_source
from worker.runtime.step_context import StepContext
from worker.samplers import BoundSampler, bind_sampler, not_invertible
from worker.steps.inversion.inversion_cache import Reused, image_digests, inverted_before
from worker.steps.inversion.inverters import chosen_inverters
from worker.steps.inversion.sample_codes import codes_of_samples
from worker.steps.label_sets.training_overlap import seen_in_training, training_indices

#: Nothing random reaches a result that other jobs use again.
_SEED = 0
#: Refinement steps of a batch between two checkpoints.
CHECKPOINT_EVERY = 100
#: Images that are named and pictured when reconstructions are too poor.
_WORST = 3
#: Images that are named where the class of some is missing.
_NAMED = 20
#: The picture of all images; each has one of its own beside it.
SHEET = "inversion_sheet.png"


def invert(context: StepContext) -> StepResult:
    """Invert the labelled images, or use an equal inversion that is there already; samples that people labelled bring
    their codes along.
    """
    request = context.request(LabelingSpec)
    asked, samples = request.inversion, request.samples
    source = load_source(context, request.generator)
    labels = fitted_labels(context, context.result(LabelSetMade).label_set, source, request)
    bound = bind_sampler(context, source, sampling_settings(request))
    sampler = bound.sampler
    config = _config(asked, sampler)
    encoder, perceptual = None, None
    if isinstance(sampler, Invertible):
        source, encoder, perceptual = chosen_inverters(context, source, asked.encoder)
    mirror = asked.mirror and not samples
    warps = [item.warp.to_json() if item.warp else None for item in labels.items]
    digest = digest_of(
        {
            "made": "inversion 3",
            "labels": labels.digest,
            **({"warps": warps} if any(warps) else {}),  # they stand in the report
            "perceptual": perceptual.name if perceptual else None,
            "features": sampler.feature_digest,
            "settings": config.to_json(),
            **source.inversion_digest,
            **({"samples": samples} if samples else {}),
            **({"mirror": True} if mirror else {}),
        }
    )
    equal = find_made(context.db, "inversion", digest, tenant=context.tenant)
    if equal is not None:
        event = NewEvent("inversion.reused", {"inversion": equal.id})
        return StepResult(job_result=JobResult(inversion=equal.id), events=(event,))
    if samples:
        known = codes_of_samples(context, samples, labels, source, sampler, perceptual, config)
        return _store(context, source, bound, labels, warps, digest, _Inverted(known))
    shown = [item.image for item in labels.items]
    if mirror:
        shown += [item.image for item in mirrored(labels).items]
    if isinstance(sampler, Encodes):
        images = as_tensor(np.stack(shown))
        of_images = _image_classes(labels, source) * (2 if mirror else 1)
        encoded = encoded_codes(
            sampler, images, of_images or None, perceptual=None, config=config, run=context.run(source.device)
        )
        return _store(context, source, bound, labels, warps, digest, _Inverted(encoded))
    if not isinstance(sampler, Invertible) or perceptual is None:
        raise not_invertible(source)
    digests = image_digests(shown, source, perceptual.name, config)
    before = inverted_before(context, sampler, config, digests)
    todo = [index for index in range(len(shown)) if index not in before]
    inverted = {index: one.image for index, one in before.items()}
    if todo:
        images = as_tensor(np.stack([shown[index] for index in todo]))
        # Between two attempts another job may have inverted some of them: then the state is of other images.
        refined = context.resume(
            lambda kept: refine(
                sampler,
                images,
                encoder=encoder,
                perceptual=perceptual,
                config=config,
                run=replace(
                    context.run(source.device, kept, seed=_SEED, checkpoint_every=CHECKPOINT_EVERY),
                    progress=lambda done, total: context.progress(done * len(labels.items) // total, len(labels.items)),
                ),
            )
        )
        inverted |= dict(zip(todo, refined, strict=True))
    in_order = [inverted[index] for index in range(len(shown))]
    seen: dict[str, str] = {}
    if indices := training_indices(context, source.row.id):
        whole = load_labels(context, context.result(LabelSetMade).label_set)
        seen = seen_in_training(context, indices, whole)
    return _store(context, source, bound, labels, warps, digest, _Inverted(in_order, digests, before, seen))


def refuse_poor_reconstruction(context: StepContext, inversion: Made, *, force: bool) -> None:
    """Raise PoorReconstructionError where the median PSNR of the labelled images' reconstructions is below the limit of
    the settings and the request has no `force`. The inversion is kept: a request with `force` uses it again.

    The limit is 18 dB. Labels of heads in a generator of streets reach 16.3 dB, random pictures 8.5 dB; 20 dB is where
    a single image is flagged; a generator that fits, if softly, reaches 22 dB and more.
    """
    least, report = context.settings.worker.min_reconstruction_psnr, inversion_report(inversion)
    found = report.median_psnr
    if force or found >= least:
        return
    worst = sorted(enumerate(report.per_image), key=lambda row: row[1].psnr)[:_WORST]
    problems = [
        Problem(
            f"reconstructed at {row.psnr:.1f} dB",
            row.name,
            context.fetch(inversion.id, picture_name(number, row.name)).read_bytes(),
        )
        for number, row in worst
    ]
    raise PoorReconstructionError(
        f"the generator cannot redraw the labelled images: the median PSNR of {report.images} "
        f"reconstructions is {found:.1f} dB, and at least {least:g} dB are needed. Use a generator that was trained on "
        "such pictures; or repeat the request with force: true (offhand generate --force), which uses this inversion "
        "again, and look at every label",
        problems,
    )


def _image_classes(labels: LabelSet, source: Source) -> list[int]:
    """Return the class index of each labelled image, for a generator whose codes need a class; empty for others.

    Raises LabelSetError that names every image without a class, or with one that the generator does not have.
    """
    spec = source.generator.code
    if not spec.needs_class:
        return []
    found: list[int] = []
    problems = []
    for item in labels.items:
        if item.image_class is None:
            problems.append(Problem(f"has no class in {IMAGE_CLASSES}", item.name))
            continue
        indices, wrong = class_indices([item.image_class], source.info.classes, spec.classes)
        problems += [Problem(one.detail, item.name) for one in wrong]
        found += indices
    if problems:
        raise LabelSetError("this generator needs the class of each image", problems[:_NAMED])
    return found


def picture_name(number: int, name: str) -> str:
    """Name among an inversion's files of the picture of image `number` (from 0) called `name`."""
    return f"pictures/{number:04d}-{name[:150]}.png"


def _config(asked: InversionSpec, sampler: Sampler) -> InversionConfig:
    config = InversionConfig(
        one_row=isinstance(sampler, Invertible) and sampler.one_row,
        fit_noise=asked.fit_noise,
        max_perceptual=asked.max_lpips,
    )
    if asked.space is not None:
        config = replace(config, one_row=asked.space == aliases.ONE_ROW)
    chosen = asked.model_dump(include={"steps", "constraint", "radius"}, exclude_none=True)
    return replace(config, **chosen)


@dataclass(frozen=True)
class _Inverted:
    """The labelled images, then their mirror images, if any: codes, digests for reuse, earlier inversions by position.

    Drawn samples have neither digests nor earlier inversions. seen: label → image that trained the generator.
    """

    images: list[InvertedImage]
    digests: list[str] = field(default_factory=list)
    reused: Mapping[int, Reused] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)


def _store(
    context: StepContext,
    source: Source,
    bound: BoundSampler,
    labels: LabelSet,
    warps: list[dict[str, float | None] | None],
    digest: str,
    found: _Inverted,
) -> StepResult:
    inversion_id = new_id(PREFIXES["inversion"])
    count = len(labels.items)
    each = [
        ImageReport(
            name=labels.items[i % count].name,
            reused_from=found.reused[i].inversion_id if i in found.reused else None,
            **image.report.to_json(),
        )
        for i, image in enumerate(found.images)
    ]
    rows = [row.model_copy(update={"alignment": warp}) for row, warp in zip(each[:count], warps, strict=True)]
    inverted, mirrors = found.images[:count], found.images[count:]
    report = InversionReport(
        **summarize([image.report for image in inverted]),
        **context.request(LabelingSpec).model_dump(mode="json", include={"fit", "align"}),
        height=source.size[0],
        width=source.size[1],
        reused_images=sum(row.reused_from is not None for row in rows),
        seen_in_training=found.seen,
        per_image=tuple(rows),
        mirrored=tuple(each[count:]),
    )
    info = report.to_json()
    codes = Codes.cat([one.codes for one in inverted])
    content = codes_content(codes, Codes.cat([one.codes for one in mirrors]) if mirrors else None)
    files = (
        context.put(inversion_id, CODES, content, "application/octet-stream"),
        context.put(inversion_id, REPORT, json.dumps(info, indent=1).encode(), "application/json"),
        *_pictures(context, inversion_id, labels, inverted, report),
    )
    parents = {"label_set_id": context.result(LabelSetMade).label_set, "generator_id": source.row.id}
    flagged = {row.name: "; ".join(row.flags) for row in rows if row.flagged}
    summary = {
        key: info[key] for key in ("images", "reused_images", "flagged", "median_psnr", "perceptual_name", "start")
    }
    return StepResult(
        files=(*bound.files, *files),
        made=(*bound.made, NewMade("inversion", inversion_id, digest, info, parents, tuple(found.digests))),
        job_result=JobResult(inversion=inversion_id),
        events=(
            NewEvent("inversion.finished", {"inversion": inversion_id, **summary}),
            *((NewEvent("inversion.flagged", {"images": flagged}, "warning"),) if flagged else ()),
        ),
    )


def _pictures(
    context: StepContext, inversion_id: str, labels: LabelSet, inverted: list[InvertedImage], report: InversionReport
) -> list[File]:
    rows = [
        InversionRow(
            name=item.name,
            target=item.image,
            reconstruction=as_pictures(image.reconstruction[None])[0].numpy(),
            mask=item.mask,
            caption=f"PSNR {image.report.psnr:.1f} dB, perceptual {image.report.perceptual:.3f}",
            flagged=image.report.flagged,
        )
        for item, image in zip(labels.items, inverted, strict=True)
    ]
    title = f"{report.images} labelled images and what the generator makes of them"
    subtitle = f"Median PSNR {report.median_psnr:.1f} dB; {report.flagged} flagged. Start: {report.start}."
    sheet = inversion_sheet(sorted(rows, key=lambda row: not row.flagged), labels.classes, title, subtitle)
    files = [context.put(inversion_id, SHEET, sheet, "image/png")]
    for number, row in enumerate(rows):
        name = picture_name(number, row.name)
        files.append(context.put(inversion_id, name, inversion_picture(row, labels.classes), "image/png"))
    return files
