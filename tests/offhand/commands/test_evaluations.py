"""`offhand report`: the verdict on the terminal, and as an exit code."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from offhand.sdk.client import Client
from store.database.database import Database
from store.objects import ObjectStore
from tests.api.worlds import end_job, finish_dataset, keep
from tests.offhand.conftest import Run

WORDS = "Train on the labelled images alone, with strong augmentation, without this dataset: it scores 0.610."


def report(verdict: str) -> dict[str, Any]:
    state = {"use": "passed", "do not use": "failed", "not shown": "unknown"}[verdict]
    gate = {"name": "useful", "state": state, "words": "Difference -5.0 points.", "numbers": {}}
    recommended = {"arm": "strong_augmentation", "score": 0.61, "words": WORDS}
    return {
        "verdict": verdict, "sentence": f"It is: {verdict}.", "recommended": recommended, "gates": [gate],
        "warnings": [], "evaluation": "",
    }  # fmt: skip


@pytest.fixture
def evaluations(client: Client, labels: Path, db: Database, objects: ObjectStore, tmp_path: Path) -> dict[str, str]:
    """An evaluation of each verdict, by its verdict."""
    job = client.datasets.generate(labels, "tiny", 20)
    finish_dataset(db, objects, job)
    dataset = job["result"]["dataset"]
    held_out = tmp_path / "held_out.zip"
    held_out.write_bytes(labels.read_bytes())
    with zipfile.ZipFile(held_out, "a") as packed:
        packed.comment = b"held out"
    found = {}
    for seed, verdict in enumerate(("use", "do not use", "not shown")):
        made = client.evaluations.create(dataset, held_out, seed=seed)
        content = json.dumps(report(verdict)).encode()
        keep(db, objects, dataset, f"evaluations/{made['id']}/report.json", content, "application/json")
        with db.write() as connection:
            end_job(connection, made["id"], "succeeded")
        found[verdict] = made["id"]
    return found


def test_gate_ends_with_9_for_do_not_use_alone(run: Run, evaluations: dict[str, str]) -> None:
    codes = {verdict: run("report", one, "--gate").exit_code for verdict, one in evaluations.items()}
    assert codes == {"use": 0, "do not use": 9, "not shown": 0}
    assert run("report", evaluations["do not use"]).exit_code == 0
    gated = run("report", evaluations["do not use"], "--gate", "--json")
    assert (gated.exit_code, json.loads(gated.stdout)["verdict"]) == (9, "do not use")


def test_report_prints_what_is_recommended(run: Run, evaluations: dict[str, str]) -> None:
    shown = run("report", evaluations["do not use"]).stdout.splitlines()
    assert shown[:2] == ["It is: do not use.", f"  recommended: {WORDS}"]
