"""Generator, and labelled images where there are some → encoder, made once per settings; with what it is worth."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.generators.interface import Invertible
from core.image_arrays import as_tensor
from core.inversion.code_encoder import CodeEncoder
from core.inversion.encoder import Encoder, EncoderConfig, save_encoder
from core.inversion.initial_codes import latent_spread
from core.inversion.perceptual.distance import Perceptual
from core.inversion.published.network import PublishedEncoder
from core.training.config import EncoderTrainingConfig
from core.training.encoder import EncoderTraining, default_encoder_config
from core.training.encoder import train_encoder as train
from core.training.encoder_report import attempts_picture, own_samples, reconstruction_by_iteration
from store.ids import new_id
from store.job_kinds.train_encoder import TrainEncoderSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult, LabelSetMade
from store.resources.artifacts import PREFIXES, NewMade, find_made
from store.resources.reports import EncoderReport, IterationReport
from worker.digests import digest_of, json_values
from worker.loading import REPORT, Source, fitted_labels, load_inverters, load_source
from worker.runtime.step_context import StepContext
from worker.samplers import invertible_sampler

#: Nothing random reaches a result that other jobs use again.
_SEED = 0
#: Of the samples that the encoder is judged by; no training step draws them.
_JUDGED_SEED = 2**40 + 1
_JUDGED_SAMPLES = 32
#: With at least this many labelled images a tenth of them is kept from training, to judge it by.
_ENOUGH_TO_HOLD_OUT = 10
#: Images on the picture, of each kind.
_SHOWN = 4
#: The picture of images and the attempts at them.
ATTEMPTS = "attempts.png"


def train_encoder(context: StepContext) -> StepResult:
    """Train an encoder, or use an equal one that is there already."""
    spec = context.request(TrainEncoderSpec)
    source = load_source(context, spec.generator)
    sampler = invertible_sampler(context, source)
    _, perceptual = load_inverters(context, source)
    images, labels_digest = _images(context, source, spec)
    config = training_config(spec, source)
    spread = latent_spread(sampler, _SEED)
    shape = default_encoder_config(sampler, spread, spec.heads, spec.image_size)
    digest = encoder_digest(source, perceptual.name, labels_digest, config, shape)
    equal = find_made(context.db, "encoder", digest, tenant=context.tenant)
    if equal is not None:
        reused = NewEvent("encoder.reused", {"encoder": equal.id})
        return StepResult(job_result=JobResult(encoder=equal.id), events=(reused,))
    learnt, held_out = _split(images)
    training = context.resume(
        lambda kept: train(
            sampler,
            perceptual,
            learnt,
            config,
            run=context.run(source.device, kept, seed=_SEED),
            encoder_config=shape,
        )
    )
    report = encoder_report(context, source, sampler, spec, training, perceptual, learnt, held_out)
    return store_encoder(context, source, training.encoder, report, digest, images)


def encoder_digest(
    source: Source, perceptual_name: str, labels_digest: str, config: EncoderTrainingConfig, shape: EncoderConfig
) -> str:
    """Digest of everything that an encoder is made from; labels_digest: "" for samples alone."""
    return digest_of(
        {
            "made": "encoder 2",
            "generator": source.info.digest,
            "perceptual": [perceptual_name, source.inversion_digest["perceptual"]],
            "labels": labels_digest,
            "settings": json_values(asdict(config)),
            "shape": json_values(asdict(shape)),
        }
    )


def _images(context: StepContext, source: Source, spec: TrainEncoderSpec) -> tuple[Tensor | None, str]:
    """The labelled images at the generator's size, uint8 [N, 3, H, W], and their digest; nothing for samples alone."""
    if spec.train_on == "samples":
        return None, ""
    labels = fitted_labels(context, context.result(LabelSetMade).label_set, source, spec)
    return as_tensor(np.stack([item.image for item in labels.items])), labels.digest


def _split(images: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    if images is None or len(images) < _ENOUGH_TO_HOLD_OUT:
        return images, None
    held_out = torch.zeros(len(images), dtype=torch.bool)
    held_out[::_ENOUGH_TO_HOLD_OUT] = True
    return images[~held_out], images[held_out]


def training_config(spec: TrainEncoderSpec, source: Source) -> EncoderTrainingConfig:
    """The settings of a request. Larger images have fewer slots with image losses, which is what takes memory."""
    drawn = max(2, min(16, round(16 * (256 / max(source.size)) ** 2)))
    values: dict[str, Any] = {
        "mirror": spec.mirror and spec.train_on != "samples",
        "feature_weight": spec.feature_weight,
        "images": 0 if spec.train_on == "samples" else drawn,
        "samples": 0 if spec.train_on == "labels" else EncoderTrainingConfig.samples,
        "samples_drawn": 0 if spec.train_on == "labels" else drawn // 2,
    }
    if spec.steps is not None:
        values["steps"] = spec.steps
    return EncoderTrainingConfig(**values)


def encoder_report(
    context: StepContext,
    source: Source,
    sampler: Invertible,
    spec: TrainEncoderSpec,
    training: EncoderTraining,
    perceptual: Perceptual,
    learnt: Tensor | None = None,
    held_out: Tensor | None = None,
) -> EncoderReport:
    """Report a training, with the reconstruction of images that it never saw, and of those that it did."""
    facts = {
        "generator_digest": source.info.digest,
        "train_on": spec.train_on,
        "heads": spec.heads,
        "steps": int(training.curve[-1]["step"]) if training.curve else 0,
        "curve": tuple(training.curve),
    }
    others = {"labels_held_out": held_out, "labels_learnt": learnt}
    return judged_encoder(context, sampler, training.encoder, perceptual, facts, others)


def judged_encoder(
    context: StepContext,
    sampler: Invertible,
    encoder: CodeEncoder,
    perceptual: Perceptual,
    facts: dict[str, Any],
    others: Mapping[str, Tensor | None],
) -> EncoderReport:
    """Return a report of ``facts`` with the reconstruction of samples and of ``others``, which are images by name. A
    picture of some is left in the shard's folder.
    """
    judged = {"samples": own_samples(sampler, _JUDGED_SAMPLES, _JUDGED_SEED)}
    judged |= {name: images for name, images in others.items() if images is not None}
    by_iteration = {
        name: tuple(
            IterationReport(**asdict(one))
            for one in reconstruction_by_iteration(
                sampler, encoder, perceptual, images, should_stop=context.should_stop
            )
        )
        for name, images in judged.items()
    }
    shown = torch.cat([images[:_SHOWN] for images in judged.values()])
    buffer = io.BytesIO()
    Image.fromarray(attempts_picture(sampler, encoder, shown)).save(buffer, "PNG")
    context.folder.joinpath(ATTEMPTS).write_bytes(buffer.getvalue())
    images = {name: len(images) for name, images in judged.items()}
    return EncoderReport(perceptual_name=perceptual.name, images=images, by_iteration=by_iteration, **facts)


def store_encoder(
    context: StepContext,
    source: Source,
    encoder: Encoder | PublishedEncoder,
    report: EncoderReport,
    digest: str,
    images: Tensor | None = None,
    event: str = "encoder.trained",
) -> StepResult:
    """Store an encoder with its report and the picture of its reconstructions; event: its name in the job's log."""
    encoder_id = new_id(PREFIXES["encoder"])
    info = report.to_json()
    folder = context.folder / "encoder"
    folder.mkdir()
    save_encoder(folder, encoder, {name: info[name] for name in ("train_on", "heads", "steps", "generator_digest")})
    files = [context.put(encoder_id, path.name, path, "application/octet-stream") for path in sorted(folder.iterdir())]
    files.append(context.put(encoder_id, REPORT, json.dumps(info, indent=1).encode(), "application/json"))
    files.append(context.put(encoder_id, ATTEMPTS, context.folder / ATTEMPTS, "image/png"))
    parents = {"generator_id": source.row.id}
    if images is not None:
        parents["label_set_id"] = context.result(LabelSetMade).label_set
    last = {name: entries[-1].to_json() for name, entries in report.by_iteration.items()}
    return StepResult(
        files=tuple(files),
        made=(NewMade("encoder", encoder_id, digest, info, parents),),
        job_result=JobResult(encoder=encoder_id),
        events=(NewEvent(event, {"encoder": encoder_id, "reconstruction": last}),),
    )
