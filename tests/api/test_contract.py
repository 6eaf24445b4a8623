"""The document against the running service: every operation, with data that fits its schema and data that does not."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from store.database.database import Database
from store.objects import ObjectStore
from store.resources.artifacts import NewMade, add_made
from store.settings import Settings
from store.workers import worker_alive
from tests.api.worlds import add_encoder, add_labeler, finish_dataset
from tests.serving import ApiProcess

#: Cases for each operation where they are drawn at random, and walks along the document's links.
FUZZED, WALKS = 20, 150


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """A data folder of the test's own, with each of the databases."""
    if request.param == "postgresql":
        settings.database.url = request.getfixturevalue("postgres_url")
    return settings


@pytest.fixture
def service(settings: Settings, db: Database, objects: ObjectStore, generators: Path) -> Iterator[ApiProcess]:
    """The service with one of everything, and a worker that says it is there, for `/readyz`."""
    ended = threading.Event()

    def announce() -> None:
        while not ended.is_set():
            worker_alive(db, "stand-in")
            ended.wait(10)

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        environment = {"OFFHAND_LIMITS__QUEUED_JOBS": "1000000", "OFFHAND_DATABASE__URL": settings.database.url}
        with ApiProcess(settings.home, generators, **environment) as process:
            fill(process.url, db, objects)
            yield process
    finally:
        ended.set()
        thread.join()


def fill(url: str, db: Database, objects: ObjectStore) -> None:
    """Something of each kind to be looked at, so that ids that lists give lead somewhere."""
    with httpx.Client(base_url=url) as http:
        announced = {"filename": "heads.zip", "size": 1000, "sha256": "0" * 64}
        assert http.post("/v1/uploads", json=announced).status_code == 201
        add_labeler(db, objects, http.get("/v1/generators/tiny").json()["id"])
        with db.write() as connection:
            add_made(connection, "local", NewMade("label_set", "ls_2", "d2", {"images": 2, "classes": []}))
        add_encoder(db, objects, http.get("/v1/generators/tiny").json()["id"])
        for _ in range(3):
            answer = http.post("/v1/jobs", json={"labels": "ls_1", "generator": "tiny", "count": 20})
            assert answer.status_code == 202, answer.text
            job = answer.json()
            finish_dataset(db, objects, job)
        dataset = job["result"]["dataset"]
        for answer in (
            http.put("/v1/dataset-aliases/latest", json={"dataset": dataset}),
            http.post(f"/v1/datasets/{dataset}/exports", json={"format": "coco"}),
            http.post("/v1/evaluations", json={"dataset": dataset, "labels": "ls_2"}),
            http.post("/v1/api-keys", json={"name": "ci"}),
            http.post("/v1/webhook-endpoints", json={"url": "https://93.184.215.14/offhand"}),
        ):
            assert answer.is_success, answer.text


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("phases", "cases"), [("examples,coverage", 1), ("fuzzing", FUZZED), ("stateful", WALKS)])
def test_every_operation_keeps_its_word(
    service: ApiProcess, repository: Path, tmp_path: Path, phases: str, cases: int
) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(repository / "tests/api/schemathesis.toml")),
        *("run", f"{service.url}/openapi.json", "--phases", phases),
        *("--max-examples", str(cases), "--generation-deterministic", "--continue-on-failure", "--no-color"),
        *("--request-timeout", "60", "--max-response-time", "10"),
        # Of files that any bytes fit, the maker of data throws many away; that says nothing of the service.
        "--suppress-health-check=filter_too_much",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    print(ran.stdout[-3_000:])
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
    assert re.search(r"(\d+) generated, \1 passed", ran.stdout), ran.stdout[-2_000:]
    assert "Traceback" not in service.log.read_text()
