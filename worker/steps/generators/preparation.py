"""Shared by the steps that prepare a generator: the generator, and what was asked for."""

from __future__ import annotations

from store.job_kinds.prepare_generator import PrepareGeneratorSpec
from store.requests.preparation import Preparation, PreparationSpec
from worker.loading import Source, load_source
from worker.runtime.step_context import StepContext

#: Nothing random reaches a result that other jobs use again.
SEED = 0


def preparation_of(context: StepContext) -> Preparation:
    """Return what the job's request asks for."""
    return context.request(PreparationSpec).preparation


def load_prepared(context: StepContext) -> Source:
    """Return the generator that an earlier step of the job made, or that the request names. Raises as `load_source`."""
    made = context.claim.result.generator
    return load_source(context, made or context.request(PrepareGeneratorSpec).generator)
