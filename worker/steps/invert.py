"""Label set → codes of the generator, with a report and a picture for each image; made once per set and generator."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import safetensors.torch
import torch

from core.datasets.label_set import LabelSet
from core.datasets.pictures import InversionRow, inversion_picture, inversion_sheet
from core.inversion.config import InversionConfig
from core.inversion.refine import invert as refine
from core.inversion.report import InvertedImage, summarize
from core.pixels import as_tensor
from store.files import File
from store.ids import new_id
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.made import PREFIXES, NewMade, find_made
from worker.context import StepContext
from worker.digests import digest_of, json_values
from worker.sources import LATENTS, REPORT, Source, fitted_labels, load_inverters, load_source

#: Nothing random reaches a result that other jobs use again.
_SEED = 0
#: The picture of all images; each has one of its own beside it.
SHEET = "inversion_sheet.png"


def invert(context: StepContext) -> StepResult:
    """Invert the labelled images, or use an equal inversion that is there already."""
    source = load_source(context)
    labels = fitted_labels(context, context.claim.result["label_set"], source)
    config = _config(context, source)
    encoder, perceptual = load_inverters(context, source)
    digest = digest_of(
        {
            "made": "inversion 1",
            "labels": labels.digest,
            "perceptual": perceptual.name,
            "settings": config.to_json(),
            **source.inversion_digest,
        }
    )
    equal = find_made(context.db, "inversion", digest, tenant=context.tenant)
    if equal is not None:
        event = NewEvent("inversion.reused", {"inversion": equal.id})
        return StepResult(job_result={"inversion": equal.id}, events=(event,))
    inverted = refine(
        source.network,
        as_tensor(np.stack([item.image for item in labels.items])),
        encoder=encoder,
        perceptual=perceptual,
        config=config,
        device=source.device,
        seed=_SEED,
        progress=context.progress,
        should_stop=context.should_stop,
    )
    return _store(context, source, labels, inverted, digest)


def _config(context: StepContext, source: Source) -> InversionConfig:
    config = InversionConfig(noise="none" if source.info.noise == "none" else "const")
    steps = context.spec["inversion"]["steps"]
    return config if steps is None else replace(config, steps=steps)


def _store(
    context: StepContext, source: Source, labels: LabelSet, inverted: list[InvertedImage], digest: str
) -> StepResult:
    inversion_id = new_id(PREFIXES["inversion"])
    rows = [{"name": item.name, **image.report.to_json()} for item, image in zip(labels.items, inverted, strict=True)]
    info = {
        **summarize([image.report for image in inverted]),
        "fit": context.spec["fit"],
        "height": source.size[0],
        "width": source.size[1],
        "per_image": rows,
    }
    info = json_values(info)
    latents = safetensors.torch.save({"w_plus": torch.stack([image.w_plus for image in inverted]).contiguous()})
    files = (
        context.put(inversion_id, LATENTS, latents, "application/octet-stream"),
        context.put(inversion_id, REPORT, json.dumps(info, indent=1).encode(), "application/json"),
        *_pictures(context, inversion_id, labels, inverted, info),
    )
    parents = {"label_set_id": context.claim.result["label_set"], "generator_id": source.row.id}
    flagged = [row["name"] for row in rows if row["flagged"]]
    summary = {key: info[key] for key in ("images", "flagged", "median_psnr", "perceptual_name", "start")}
    return StepResult(
        files=files,
        made=(NewMade("inversion", inversion_id, digest, info, parents),),
        job_result={"inversion": inversion_id},
        events=(
            NewEvent("inversion.finished", {"inversion": inversion_id, **summary}),
            *((NewEvent("inversion.flagged", {"images": flagged}, "warning"),) if flagged else ()),
        ),
    )


def _pictures(
    context: StepContext, inversion_id: str, labels: LabelSet, inverted: list[InvertedImage], info: dict[str, Any]
) -> list[File]:
    rows = [
        InversionRow(
            name=item.name,
            target=item.image,
            reconstruction=image.reconstruction.permute(1, 2, 0).numpy(),
            mask=item.mask,
            caption=f"PSNR {image.report.psnr:.1f} dB, perceptual {image.report.perceptual:.3f}",
            flagged=image.report.flagged,
        )
        for item, image in zip(labels.items, inverted, strict=True)
    ]
    title = f"{info['images']} labelled images and what the generator makes of them"
    subtitle = f"Median PSNR {info['median_psnr']:.1f} dB; {info['flagged']} flagged. Start: {info['start']}."
    sheet = inversion_sheet(sorted(rows, key=lambda row: not row.flagged), labels.classes, title, subtitle)
    files = [context.put(inversion_id, SHEET, sheet, "image/png")]
    for number, row in enumerate(rows):
        name = f"pictures/{number:04d}-{row.name[:150]}.png"
        files.append(context.put(inversion_id, name, inversion_picture(row, labels.classes), "image/png"))
    return files
