"""Generator → encoder trained on its own samples, which becomes its default."""

from __future__ import annotations

from dataclasses import replace

from core.inversion.initial_codes import latent_spread
from core.training.encoder import default_encoder_config, train_encoder
from store.job_kinds.train_encoder import TrainEncoderSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.resources import reports
from store.resources.artifacts import Made, find_made
from store.resources.generators import PreparedGenerator
from worker.loading import Source, load_inverters
from worker.runtime.chain_items import run_item
from worker.runtime.step_context import StepContext
from worker.samplers import invertible_sampler
from worker.steps.generators.preparation import SEED, load_prepared, preparation_images, preparation_of
from worker.steps.inversion.train_encoder import encoder_digest, encoder_report, store_encoder, training_config

#: Key of the facts about the encoder.
ENCODER = "encoder"
#: Pixels of the longer side that it looks at, at most.
_IMAGE_SIZE = 128


def prepare_encoder(context: StepContext) -> StepResult:
    """Train an encoder, or use an equal one that is there already, and store it with the generator too."""
    asked = preparation_of(context)
    if not asked.encoder:
        return StepResult()
    source = load_prepared(context)
    images = preparation_images(context)
    spec = TrainEncoderSpec(
        generator=source.row.name,
        train_on="samples" if images is None else "both",
        heads=asked.heads,
        steps=asked.encoder_steps,
        mirror=images is not None and images.mirror,
    )
    sampler = invertible_sampler(context, source)
    _, perceptual = load_inverters(context, source)
    config = training_config(spec, source)
    shape = default_encoder_config(sampler, latent_spread(sampler, SEED), asked.heads, _IMAGE_SIZE)
    digest = encoder_digest(source, perceptual.name, images.digest if images is not None else "", config, shape)
    equal = find_made(context.db, "encoder", digest, tenant=context.tenant)
    if equal is not None:
        return _reused(context, source, equal)
    trained = run_item(
        context,
        source.device,
        lambda run: train_encoder(
            sampler, perceptual, images.source if images is not None else None, config, run=run, encoder_config=shape
        ),
        seed=SEED,
    )
    if isinstance(trained, StepResult):
        return trained
    report = encoder_report(context, source, sampler, spec, trained, perceptual)
    stored = store_encoder(context, source, trained.encoder, report, digest)
    (made,) = stored.made
    names = {file.name: file for file in stored.files if file.name.startswith("encoder.")}
    own = tuple(
        context.put(source.row.id, name, context.folder / "encoder" / name, file.media_type)
        for name, file in names.items()
    )
    facts = {ENCODER: {"id": made.id, "train_on": spec.train_on, "heads": spec.heads, "steps": report.steps}}
    return replace(
        stored,
        files=(*stored.files, *own),
        prepared=PreparedGenerator(source.row.id, facts),
        job_result=stored.job_result.joined(JobResult(generator=source.row.id)),
    )


def _reused(context: StepContext, source: Source, equal: Made) -> StepResult:
    folder = context.folder / equal.id
    context.fetch_all(equal.id, folder)
    own = tuple(
        context.put(source.row.id, path.name, path, "application/octet-stream")
        for path in sorted(folder.glob("encoder.*"))
    )
    found = reports.encoder_report(equal)
    facts = {ENCODER: {"id": equal.id, "train_on": found.train_on, "heads": found.heads, "steps": found.steps}}
    return StepResult(
        files=own,
        prepared=PreparedGenerator(source.row.id, facts),
        job_result=JobResult(encoder=equal.id, generator=source.row.id),
        events=(NewEvent("encoder.reused", {"encoder": equal.id}),),
    )
