"""A new job kind: one module with its definition, its steps, and the two lines that register them.

`tests.new_kind` is the kind. It runs in a process of its own, since the API reads the registry once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store.job_kinds import KINDS
from worker.steps import STEPS


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.new_kind.drive", str(tmp_path_factory.mktemp("home"))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_request_of_a_new_kind_is_checked_by_its_schema_and_its_own_checks(answers: dict[str, Any]) -> None:
    assert [one["pointer"] for one in answers["refused"]["errors"]] == ["#/words_per_part"]
    assert answers["empty"]["detail"] == "there is nothing to count"
    assert [one["pointer"] for one in answers["empty"]["errors"]] == ["#/text"]
    assert "count_words" in answers["unknown"]["errors"][0]["detail"], "the known kinds are listed"


def test_job_of_a_new_kind_is_accepted_with_the_steps_of_its_module(answers: dict[str, Any]) -> None:
    job = answers["accepted"]
    assert (job["kind"], job["name"], job["state"]) == ("count_words", "a verse", "queued")
    steps = {step["name"]: step["title"] for step in job["steps"]}
    assert steps == {"split_text": "splitting the text", "count_part": "counting words"}
    assert job["counts"]["total"] == 5
    assert job["urls"]["result"] == f"/v1/word-counts/{job['result']['words']}"


def test_shards_of_a_new_kind_are_planned_by_its_module_and_run(answers: dict[str, Any]) -> None:
    assert answers["shards_done"] == 4, "one of the first step, three parts of two words or one"
    assert answers["counted"] == [2, 2, 1]
    assert answers["ended"]["state"] == "succeeded"
    assert answers["ended"]["counts"] == {"total": 5, "done": 5, "rejected": 0, "failed": 0}


def test_jobs_of_a_new_kind_are_listed_and_shown(answers: dict[str, Any]) -> None:
    assert [job["id"] for job in answers["listed"]["items"]] == [answers["accepted"]["id"]]
    assert "a verse" in answers["page"]
    assert "counting words" in answers["page"]


def test_new_kind_is_documented(answers: dict[str, Any]) -> None:
    document = answers["openapi"]
    assert "CountWordsSpec" in document["components"]["schemas"]
    text = json.dumps(document["paths"]["/v1/jobs"]["post"]["requestBody"])
    assert "#/components/schemas/CountWordsSpec" in text
    assert "count_words" in json.dumps(document["paths"]["/v1/jobs"]["get"])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_step_of_every_kind_has_a_display_name_and_a_function(kind: Any) -> None:
    assert kind.request.model_fields["kind"].default == kind.name
    for plan in kind.steps:
        assert plan.title, plan.name
        assert plan.name in STEPS
        assert plan.fan_out == (plan.plan is not None)
