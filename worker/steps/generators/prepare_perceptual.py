"""Generator → perceptual network of its own domain, which becomes its default."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from core.inversion.perceptual.domain import DomainPerceptual, save_perceptual
from core.training.perceptual import PerceptualTraining, train_perceptual
from core.training.perceptual_config import PerceptualTrainingConfig
from store.jobs.commits import StepResult
from store.jobs.events import NewEvent
from store.jobs.job_result import JobResult
from store.requests.preparation import Preparation
from store.resources.generators import PREPARED, PreparedGenerator
from worker.digests import digest_of, json_values
from worker.loading import Source
from worker.runtime.chain_items import run_item
from worker.runtime.step_context import StepContext
from worker.samplers import bind_sampler
from worker.steps.generators.preparation import SEED, load_prepared, preparation_images, preparation_of

#: Key of the facts about the network.
PERCEPTUAL = "perceptual"


def prepare_perceptual(context: StepContext) -> StepResult:
    """Train a perceptual network, unless the generator has an equal one, and store it with the generator."""
    asked = preparation_of(context)
    if not asked.perceptual:
        return StepResult()
    source = load_prepared(context)
    config, images = training_config(asked), preparation_images(context)
    facts = {"made": "perceptual 1", "generator": source.info.digest, "settings": json_values(asdict(config))}
    digest = digest_of(facts | ({"images": [images.digest, images.mirror]} if images is not None else {}))
    result = JobResult(generator=source.row.id)
    if source.row.info.get(PREPARED, {}).get(PERCEPTUAL, {}).get("digest") == digest:
        event = NewEvent("perceptual.reused", {"generator": source.row.id})
        return StepResult(job_result=result, events=(event,))
    sampler = bind_sampler(context, source, {}).sampler
    trained = run_item(
        context,
        source.device,
        lambda run: train_perceptual(
            f"{source.row.name}-domain-v1", sampler, images.source if images is not None else None, config, run=run
        ),
        seed=SEED,
    )
    if isinstance(trained, StepResult):
        return trained
    return replace(_store(context, source, trained, digest), job_result=result)


def training_config(asked: Preparation) -> PerceptualTrainingConfig:
    """The settings of a request."""
    config = PerceptualTrainingConfig()
    return config if asked.perceptual_steps is None else replace(config, steps=asked.perceptual_steps)


def _store(context: StepContext, source: Source, trained: PerceptualTraining, digest: str) -> StepResult:
    folder = context.folder / "perceptual"
    folder.mkdir()
    save_perceptual(folder, trained.perceptual)
    facts = _facts(trained.perceptual, trained.curve) | {"digest": digest}
    files = tuple(
        context.put(source.row.id, path.name, path, "application/octet-stream") for path in sorted(folder.iterdir())
    )
    event = NewEvent("perceptual.trained", {"generator": source.row.id, **facts})
    prepared = PreparedGenerator(source.row.id, {PERCEPTUAL: facts})
    return StepResult(files=files, prepared=prepared, events=(event,))


def _facts(perceptual: DomainPerceptual, curve: list[dict[str, float]]) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(json.dumps(curve[-1] if curve else {}))
    return {"network": perceptual.name, "steps": int(last.pop("step", 0)), "losses": last}
