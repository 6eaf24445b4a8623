"""`python -m tests.new_kind.drive HOME`: submit, run and list a job of the new kind; print the answers as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from starlette.testclient import TestClient

# Registers the kind, as its registry line would, before the API reads the registry.
from tests.new_kind import steps
from worker.runtime.supervisor import Supervisor

from api.app import create_app  # isort: skip
from store.database.database import open_database  # isort: skip
from store.jobs.results import shard_results  # isort: skip
from store.objects import open_objects  # isort: skip
from store.settings import Settings, WorkerSettings  # isort: skip


def main(home: Path) -> None:
    """Drive the service by HTTP and one real worker with its child process."""
    generators = home / "generators"
    generators.mkdir(parents=True)
    settings = Settings(home=home, generators_folder=str(generators), worker=WorkerSettings(device="cpu"))
    with TestClient(create_app(settings), base_url="http://localhost") as http:
        answers = {
            "refused": http.post("/v1/jobs", json={"kind": "count_words", "text": " ", "words_per_part": 0}).json(),
            "empty": http.post("/v1/jobs", json={"kind": "count_words", "text": " "}).json(),
            "unknown": http.post("/v1/jobs", json={"kind": "count_letters"}).json(),
            "accepted": http.post(
                "/v1/jobs", json={"kind": "count_words", "name": "a verse", "text": "one two three four five"}
            ).json(),
        }
        job = answers["accepted"]["id"]
        db = open_database(settings)
        supervisor = Supervisor(settings, db, open_objects(settings), steps=steps.__name__)
        answers["shards_done"] = supervisor.run_until_idle()
        supervisor.close()
        answers["counted"] = [one.value["words"] for one in shard_results(db, job, "count_part")]
        db.close()
        answers["ended"] = http.get(f"/v1/jobs/{job}").json()
        answers["listed"] = http.get("/v1/jobs", params={"kind": "count_words"}).json()
        answers["page"] = http.get(f"/jobs/{job}").text
        answers["openapi"] = http.get("/openapi.json").json()
    print(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
