"""A published encoder → an encoder of a generator, with a report on its reconstructions."""

from __future__ import annotations

from typing import Any

from core.checkpoints.process import import_encoder_in_process
from core.errors import InversionError, Problem
from core.generators.interface import Invertible
from core.inversion.initial_codes import latent_spread
from core.inversion.published.importing import ImportedEncoder
from store.job_kinds.import_encoder import ImportEncoderSpec
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.resources.artifacts import find_made
from worker.digests import digest_of
from worker.loading import Source, load_inverters, load_source
from worker.runtime.step_context import StepContext
from worker.samplers import invertible_sampler
from worker.steps.generators.checkpoint_download import fetch_checkpoint
from worker.steps.inversion.train_encoder import judged_encoder, store_encoder

#: Distance of the file's mean code from the generator's, in spreads, from which the report warns.
_FAR = 0.1


def import_encoder(context: StepContext) -> StepResult:
    """Fetch the file, read it in a process of its own, compare it with the generator, and store it."""
    spec = context.request(ImportEncoderSpec)
    source = load_source(context, spec.generator)
    sampler = invertible_sampler(context, source)
    _, perceptual = load_inverters(context, source)
    path = fetch_checkpoint(context, spec.source)
    imported = import_encoder_in_process(path, context.folder / "reading", spec.heads, should_stop=context.should_stop)
    path.unlink()
    check_fit(imported, source, sampler)
    report = imported.report
    digest = digest_of(
        {
            "made": "imported encoder 1",
            "generator": source.info.digest,
            "file": report.file_sha256,
            "heads": report.heads,
        }
    )
    equal = find_made(context.db, "encoder", digest, tenant=context.tenant)
    if equal is not None:
        return StepResult(
            job_result=JobResult(encoder=equal.id), events=(NewEvent("encoder.reused", {"encoder": equal.id}),)
        )
    encoder = imported.encoder.to(source.device)
    notes = [*report.notes, *_distance_notes(imported, sampler)]
    facts: dict[str, Any] = {
        "generator_digest": source.info.digest,
        "train_on": "published",
        "heads": report.heads,
        "steps": 0,
        "imported": report.to_json() | {"notes": notes},
    }
    judged = judged_encoder(context, sampler, encoder, perceptual, facts, {})
    return store_encoder(context, source, encoder, judged, digest, event="encoder.imported")


def check_fit(imported: ImportedEncoder, source: Source, sampler: Invertible) -> None:
    """Raise InversionError that names what was expected and found where the encoder is for another generator."""
    report, problems = imported.report, []
    found, expected = imported.encoder.code_shape, (sampler.rows, sampler.width)
    if found != expected:
        detail = f"expected {expected[0]} rows of {expected[1]} numbers, found {found[0]} of {found[1]}"
        problems.append(Problem(detail, "styles"))
    side = max(source.size)
    if report.resolution and report.resolution != side:
        problems.append(Problem(f"expected {side} pixels, found {report.resolution}", "output_size"))
    if problems:
        raise InversionError(f"this encoder does not fit the generator {source.row.name}", problems)


def _distance_notes(imported: ImportedEncoder, sampler: Invertible) -> list[str]:
    start = imported.encoder.start_code
    if start is None or not bool(start.any()):
        return []
    distance = float((start.to(sampler.device) - sampler.centre).square().mean().sqrt()) / latent_spread(sampler)
    if distance <= _FAR:
        return []
    return [
        f"The mean code of the file lies {distance:.2g} spreads from that of the generator: it was trained for another "
        "generator, or for one with another mean code. Compare the reconstructions."
    ]
