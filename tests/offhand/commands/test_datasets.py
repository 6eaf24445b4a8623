"""`offhand datasets`, `aliases`, `uploads`, `events` and `quota` against the real service."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from offhand.sdk.client import Client
from store.database.database import Database
from store.objects import ObjectStore
from tests.api.worlds import INFO, finish_dataset
from tests.offhand.conftest import Run
from tests.serving import ApiProcess


@pytest.fixture
def dataset(client: Client, labels: Path, db: Database, objects: ObjectStore) -> str:
    job = client.datasets.generate(labels, "tiny", 20)
    finish_dataset(db, objects, job, info=INFO)
    return str(client.jobs.get(job["id"])["result"]["dataset"])


def test_datasets_are_listed_shown_pinned_deleted_and_restored(run: Run, dataset: str) -> None:
    (row,) = [line for line in run("datasets").stdout.splitlines() if line.startswith(dataset)]
    assert {"ready", "20", "0.430"} <= set(row.split())
    shown = run("datasets", "show", dataset)
    assert shown.stdout.splitlines()[0].endswith("ready, 20 images")
    assert "held-out mIoU  0.430" in shown.stdout
    assert json.loads(run("datasets", "show", dataset, "--json").stdout)["quality"]["held_out"]["mean_iou"] == 0.43
    assert "does not expire" in run("datasets", "pin", dataset).stdout
    (pinned,) = [one for one in json.loads(run("datasets", "--json").stdout) if one["id"] == dataset]
    assert pinned["pinned"]
    assert "expires at" in run("datasets", "unpin", dataset).stdout
    assert f"offhand datasets undelete {dataset}" in run("datasets", "rm", dataset).stdout
    assert "is ready" in run("datasets", "undelete", dataset).stdout
    assert run("datasets", "show", "ds_none").exit_code == 4


def test_aliases_are_set_moved_and_deleted(run: Run, dataset: str) -> None:
    assert run("aliases", "set", "latest", dataset).stdout == f"latest points at {dataset}\n"
    assert run("datasets", "show", "latest", "--json").exit_code == 0
    assert any(line.split()[:2] == ["latest", dataset] for line in run("aliases").stdout.splitlines())
    assert "its dataset stays" in run("aliases", "rm", "latest").stdout
    assert run("aliases", "rm", "latest").exit_code == 4


def test_uploads_are_listed_and_deleted(run: Run, client: Client, dataset: str) -> None:
    upload = next(iter(client.uploads.list()))
    assert upload["id"] in run("uploads").stdout
    assert json.loads(run("uploads", "rm", upload["id"], "--json").stdout) == {"deleted": upload["id"]}


def test_limits_and_their_use_are_listed(run: Run, client: Client) -> None:
    names = [line.split()[0] for line in run("quota").stdout.splitlines()[1:]]
    assert names == [one["name"] for one in client.quota()]


def test_events_are_printed_and_followed_until_the_job_ends(
    run: Run, client: Client, labels: Path, db: Database, objects: ObjectStore, server: ApiProcess
) -> None:
    job = client.datasets.generate(labels, "tiny", 20)

    def end() -> None:
        time.sleep(0.5)
        finish_dataset(db, objects, job)

    ending = threading.Thread(target=end)
    ending.start()
    followed = run("events", job["id"], "--follow", "--json")
    ending.join()
    lines = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines == json.loads(run("events", job["id"], "--json").stdout)
    assert run("events", job["id"]).stdout.splitlines()[0].split()[0] == "1"
