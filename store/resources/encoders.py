"""Encoders: the request for one, checked before a worker begins."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import Connection

from store.database.database import Database
from store.errors import InvalidRequest, Problem
from store.jobs.checks import inversion_problems, perceptual_problems, reference_problems, wanted_generator
from store.jobs.kinds import TRAIN_ENCODER
from store.jobs.submit import Asked, Submission, submit_job
from store.specs import TrainEncoderSpec


def submit_train_encoder(db: Database, spec: TrainEncoderSpec, **asked: Unpack[Asked]) -> Submission:
    """Accept a `train_encoder` job.

    Raises InvalidRequest with every problem found, QuotaExceeded, IdempotencyMismatch, StoreUnavailable, StorageFull.
    """

    def check(connection: Connection) -> None:
        tenant = asked["tenant"]
        generator = wanted_generator(connection, spec.generator, tenant)
        problems = reference_problems(
            connection, db, tenant=tenant, labels=spec.labels, generator=generator, count=None
        )
        problems += perceptual_problems(connection, generator, tenant=tenant)
        if spec.train_on == "samples" and spec.labels is not None:
            problems.append(
                Problem("not used to train on samples: leave it out, or train on labels or both", "/labels")
            )
        if spec.train_on != "samples" and spec.labels is None:
            problems.append(Problem(f"needed to train on {spec.train_on}", "/labels"))
        problems += inversion_problems(generator)
        if problems:
            raise InvalidRequest("the encoder cannot be trained like this", problems)

    return submit_job(db, TRAIN_ENCODER, spec=spec.model_dump(mode="json"), seed=0, total=0, check=check, **asked)
