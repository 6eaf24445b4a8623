"""A step gets the job's request as the model of its kind, and the ids that earlier steps stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from store.database.database import open_database
from store.job_kinds.draw_samples import DrawSamplesSpec
from store.job_kinds.train_labeler import TrainLabelerSpec
from store.jobs.claims import Claim
from store.jobs.job_result import InversionMade, JobResult, LabelSetMade
from store.objects import open_objects
from store.requests.labeler import LabelingSpec
from store.settings import Settings
from worker.runtime.model_cache import Models
from worker.runtime.step_context import StepContext


def context_of(tmp_path: Path, kind: str, spec: dict[str, Any]) -> StepContext:
    settings = Settings(home=tmp_path, generators_folder=str(tmp_path / "generators"))
    claim = Claim("shard_1", "job_1", kind, "local", "invert", 0, 1, "me", {}, spec, 0, JobResult(label_set="ls_1"), "")
    return StepContext(
        claim=claim,
        db=open_database(settings),
        objects=open_objects(settings),
        settings=settings,
        models=Models(settings),
        folder=tmp_path,
        progress=lambda _done, _total: None,
        should_stop=lambda: False,
        announce=lambda _message: None,
    )


def test_request_is_the_model_of_the_kind_and_parsed_once(tmp_path: Path) -> None:
    context = context_of(tmp_path, "train_labeler", {"kind": "train_labeler", "labels": "ls_1", "generator": "tiny"})
    request = context.request(LabelingSpec)
    assert isinstance(request, TrainLabelerSpec)
    assert request.folds == 5, "defaults are filled in for requests of older releases"
    assert context.request() is request


def test_request_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    context = context_of(tmp_path, "train_labeler", {"kind": "train_labeler", "labels": "ls_1", "generator": "tiny"})
    with pytest.raises(TypeError, match="invert expected a DrawSamplesSpec, found a TrainLabelerSpec"):
        context.request(DrawSamplesSpec)


def test_id_that_no_step_stored_is_named(tmp_path: Path) -> None:
    context = context_of(tmp_path, "generate", {})
    assert context.result(LabelSetMade).label_set == "ls_1"
    with pytest.raises(LookupError, match="job_1 has no inversion, which invert needs"):
        context.result(InversionMade)
    made = JobResult(label_set="ls_1", inversion="inv_1", labeler="lab_1")
    later = replace(context, claim=replace(context.claim, result=made))
    assert later.result(InversionMade).inversion == "inv_1"
