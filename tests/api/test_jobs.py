"""Jobs over HTTP: what is accepted, what is refused, and what is said about them afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update
from starlette.testclient import TestClient

from api.app import create_app
from store.database.database import Database
from store.jobs.claims import claim
from store.jobs.commits import Failure, fail
from store.settings import Settings
from store.tables import jobs
from tests.api.protocol.test_errors import problem
from tests.api.worlds import end_job

Start = Callable[..., dict[str, Any]]


def test_a_job_is_accepted_and_described(http: TestClient, wish: dict[str, Any]) -> None:
    answer = http.post("/v1/jobs", json=wish | {"labels_map": {"team": "heads"}})
    assert answer.status_code == 202
    assert int(answer.headers["retry-after"]) > 0
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["urls"]["self"]
    assert job["state"] == "queued"
    assert [s["name"] for s in job["steps"]] == ["validate", "invert", "train_labeler", "sample", "finalize"]
    assert job["counts"] == {"total": 23, "done": 0, "rejected": 0, "failed": 0}
    assert job["queue_position"] == 1
    assert job["seed"] == 1
    assert job["labels"] == {"team": "heads"}
    assert (job["request"]["truncation_psi"], job["request"]["sampling"]) == (None, {})
    assert job["urls"]["result"] == f"/v1/datasets/{job['result']['dataset']}"
    assert http.get(job["urls"]["self"]).json() == job


def test_a_null_seed_is_drawn_and_recorded(start: Start) -> None:
    seeds = {start(seed=None)["seed"] for _ in range(3)}
    assert len(seeds) == 3
    assert max(seeds) < 2**53


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"count": 0}, {"#/count"}),
        ({"count": -1}, {"#/count"}),
        ({"count": 10**9}, {"#/count"}),
        ({"count": 10**18}, {"#/count"}),
        ({"count": 1.5}, {"#/count"}),
        ({"count": "many"}, {"#/count"}),
        ({"count": None}, {"#/count"}),
        ({"seed": -1}, {"#/seed"}),
        ({"seed": 2**60}, {"#/seed"}),
        ({"truncation_psi": 1.5}, {"#/truncation_psi"}),
        ({"drop_fraction": 1.0}, {"#/drop_fraction"}),
        ({"kind": "train"}, {"#/kind"}),
        ({"surprise": 1, "count": 0}, {"#/surprise", "#/count"}),
        ({"labeler": {"members": 0, "presett": "fast"}}, {"#/labeler/members", "#/labeler/presett"}),
        ({"labels": "upl_none", "generator": "none"}, {"#/labels", "#/generator"}),
        ({"labels": "upl_none", "count": 50_000_000}, {"#/labels", "#/count"}),
    ],
)
def test_what_cannot_work_is_refused_with_every_problem(
    http: TestClient, wish: dict[str, Any], changes: dict[str, Any], pointers: set[str]
) -> None:
    for query in ("", "?validate_only=true"):
        document = problem(http.post(f"/v1/jobs{query}", json=wish | changes), 422, "invalid_request")
        assert {entry["pointer"] for entry in document["errors"]} == pointers
    assert http.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1e18"])
def test_numbers_that_are_none_are_refused(http: TestClient, upload: str, number: str) -> None:
    body = f'{{"labels": "{upload}", "generator": "tiny", "count": {number}}}'
    answer = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == "#/count"


def test_an_unknown_generator_is_answered_with_the_known_ones(http: TestClient, wish: dict[str, Any]) -> None:
    document = problem(http.post("/v1/jobs", json=wish | {"generator": "head64"}), 422, "invalid_request")
    assert document["errors"] == [{"detail": "no generator 'head64'; known: tiny", "pointer": "#/generator"}]


def test_an_unfinished_upload_is_refused(http: TestClient, wish: dict[str, Any]) -> None:
    announced = {"filename": "a.zip", "size": 5, "sha256": "0" * 64}
    pending = http.post("/v1/uploads", json=announced).json()["id"]
    document = problem(http.post("/v1/jobs", json=wish | {"labels": pending}), 422, "invalid_request")
    assert "not complete" in document["errors"][0]["detail"]


def test_validate_only_starts_nothing(http: TestClient, wish: dict[str, Any]) -> None:
    answer = http.post("/v1/jobs?validate_only=true", json=wish | {"count": 200, "drop_fraction": 0.1})
    assert answer.status_code == 200
    estimate = answer.json()
    assert estimate["valid"] is True
    assert estimate["candidates"] - -(-estimate["candidates"] // 10) == 200
    assert estimate["bytes"] > 200 * 5000
    assert estimate["seconds"] is None
    assert http.get("/v1/jobs").json()["items"] == []


def test_a_repeated_key_makes_one_job(http: TestClient, wish: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "build-17"}
    first = http.post("/v1/jobs", json=wish, headers=key)
    again = http.post("/v1/jobs", json=dict(reversed(wish.items())), headers=key)
    assert first.json() == again.json()
    assert again.status_code == first.status_code == 202
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    problem(http.post("/v1/jobs", json=wish | {"count": 21}, headers=key), 422, "idempotency_key_reused")
    too_long = http.post("/v1/jobs", json=wish, headers={"Idempotency-Key": "k" * 256})
    assert problem(too_long, 422, "invalid_request")["errors"][0]["pointer"] == "header:Idempotency-Key"
    assert len(http.get("/v1/jobs").json()["items"]) == 1


def test_the_same_key_at_once_makes_one_job(http: TestClient, wish: dict[str, Any]) -> None:
    def post(_: int) -> str:
        while (answer := http.post("/v1/jobs", json=wish, headers={"Idempotency-Key": "race"})).status_code == 409:
            assert answer.json()["code"] == "idempotency_in_flight"
            time.sleep(0.01)
        assert answer.status_code == 202
        return str(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(post, range(16)))) == 1


def test_prefer_wait_answers_with_the_end(http: TestClient, wish: dict[str, Any], db: Database) -> None:
    def end_soon() -> None:
        while not (found := http.get("/v1/jobs").json()["items"]):
            time.sleep(0.02)
        with db.write() as connection:
            end_job(connection, found[0]["id"], "failed", error_code="bad_label_set", error_detail="no images")

    ending = threading.Thread(target=end_soon)
    ending.start()
    answer = http.post("/v1/jobs", json=wish, headers={"Prefer": "respond-async, wait=20"})
    ending.join()
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["state"] == "failed"


def test_prefer_wait_gives_up(http: TestClient, wish: dict[str, Any]) -> None:
    started = time.monotonic()
    answer = http.post("/v1/jobs", json=wish, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert time.monotonic() - started < 10
    assert answer.headers["location"]


def test_a_job_that_has_not_changed_is_304(http: TestClient, start: Start, db: Database) -> None:
    job = start()
    answer = http.get(job["urls"]["self"])
    etag = answer.headers["etag"]
    unchanged = http.get(job["urls"]["self"], headers={"If-None-Match": f'"other", {etag}'})
    assert unchanged.status_code == 304
    assert unchanged.content == b""
    with db.write() as connection:
        end_job(connection, job["id"], "failed", error_code="bad_label_set", error_detail="no images")
    changed = http.get(job["urls"]["self"], headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    assert "retry-after" not in changed.headers


def test_why_a_job_failed_is_told_file_by_file(http: TestClient, start: Start, db: Database) -> None:
    job = start()
    problems = [
        {"detail": "class id 7 not in classes.json", "pointer": "masks/a.png", "picture": "iVBORw0KGgo="},
        {"detail": "no mask for this image", "pointer": "images/a.png"},
    ]
    with db.write() as connection:
        end_job(
            connection,
            job["id"],
            "failed",
            error_code="bad_label_set",
            error_detail="1 problem",
            error_retryable=False,
            error_problems=problems,
        )
    error = http.get(job["urls"]["self"]).json()["error"]
    shown = [problems[0] | {"picture": "data:image/png;base64,iVBORw0KGgo="}, problems[1] | {"picture": None}]
    assert error == {"code": "bad_label_set", "detail": "1 problem", "retryable": False, "errors": shown}
    (listed,) = http.get("/v1/jobs").json()["items"]
    assert [one["picture"] for one in listed["error"]["errors"]] == [None, None], "a list would grow heavy"
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in http.get(f"/jobs/{job['id']}").text


def test_cancelling(http: TestClient, start: Start) -> None:
    job = start()
    first = http.post(job["urls"]["cancel"])
    assert first.status_code == 202
    assert first.json()["state"] in ("canceling", "canceled")
    for _ in range(2):
        again = http.post(job["urls"]["cancel"])
        assert again.status_code == 200
        assert again.json()["id"] == job["id"]


def test_an_upload_that_a_job_needs_is_not_deleted(http: TestClient, start: Start, wish: dict[str, Any]) -> None:
    job, upload = start(), f"/v1/uploads/{wish['labels']}"
    refused = problem(http.delete(upload), 409, "in_use")
    assert job["id"] in refused["detail"]
    http.post(job["urls"]["cancel"])
    assert http.delete(upload).status_code == 204


def test_resuming_a_job_that_failed(http: TestClient, start: Start, db: Database) -> None:
    job = start()
    taken = claim(db, "worker")
    assert taken is not None
    fail(db, taken, Failure("out_of_memory", "tail", permanent=True, retryable=True))
    assert http.get(job["urls"]["self"]).json()["state"] == "failed"
    resumed = http.post(job["urls"]["resume"])
    assert resumed.status_code == 202
    assert (resumed.json()["state"], resumed.json()["error"]) == ("queued", None)
    assert http.post(job["urls"]["resume"]).json()["state"] == "queued", "repeating it changes nothing"
    http.post(job["urls"]["cancel"])
    refused = problem(http.post(job["urls"]["resume"]), 409, "not_resumable")
    assert refused["title"] == "Job not resumable"
    assert f"{job['id']} is cancel" in refused["detail"] or "being canceled" in refused["detail"]


def test_lists_are_paged_and_filtered(http: TestClient, start: Start) -> None:
    jobs = [start(labels_map={"run": str(i)}) for i in range(3)]
    http.post(jobs[0]["urls"]["cancel"])
    first = http.get("/v1/jobs?page_size=2").json()
    assert [j["id"] for j in first["items"]] == [jobs[2]["id"], jobs[1]["id"]]
    rest = http.get("/v1/jobs", params={"page_token": first["next_page_token"]}).json()
    assert [j["id"] for j in rest["items"]] == [jobs[0]["id"]]
    assert rest["next_page_token"] is None
    assert [j["id"] for j in http.get("/v1/jobs?state=canceled").json()["items"]] == [jobs[0]["id"]]
    assert [j["id"] for j in http.get("/v1/jobs?label=run=1").json()["items"]] == [jobs[1]["id"]]
    assert len(http.get("/v1/jobs?kind=generate&page_size=100000").json()["items"]) == 3
    assert http.get("/v1/jobs?created_after=2999-01-01T00:00:00Z").json()["items"] == []


def test_too_many_jobs_are_429(settings: Settings, upload: str) -> None:
    limits = settings.limits.model_copy(update={"queued_jobs": 1})
    app: FastAPI = create_app(settings.model_copy(update={"limits": limits}))
    wish = {"labels": upload, "generator": "tiny", "count": 1}
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        assert http.post("/v1/jobs", json=wish).status_code == 202
        refused = http.post("/v1/jobs", json=wish)
        problem(refused, 429, "quota_exceeded")
        assert int(refused.headers["retry-after"]) > 0
        problem(http.post("/v1/jobs?validate_only=true", json=wish), 429, "quota_exceeded")


@pytest.mark.parametrize("moment", ["0.5", "1700000000", "2026-01-01T00:00:00", "yesterday"])
def test_a_moment_is_written_out_with_its_time_zone(http: TestClient, moment: str) -> None:
    answer = http.get("/v1/jobs", params={"created_after": moment})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "query:created_after"


def test_an_error_with_broken_text_in_the_database_does_not_break_the_job_list(
    http: TestClient, db: Database, start: Start
) -> None:
    """Earlier versions stored what a file said as it was, lone surrogates and all."""
    job = start()
    stored = [{"detail": "as a key: \ud800bad", "pointer": "\ud800"}]
    with db.write() as connection:
        end_job(connection, job["id"], "failed")
        row = jobs.c.id == job["id"]
        connection.execute(update(jobs).where(row).values(error_code="unsafe_checkpoint", error_problems=stored))
    assert http.get(f"/v1/jobs/{job['id']}").status_code == 200
    answer = http.get("/v1/jobs")
    assert answer.status_code == 200, answer.text
    (listed,) = answer.json()["items"]
    assert listed["error"]["errors"] == [{"detail": "as a key: \\ud800bad", "pointer": "\\ud800", "picture": None}]


def test_job_and_its_dataset_take_the_name_of_the_request(http: TestClient, start: Start) -> None:
    job = start(name="street scenes, second try")
    assert job["name"] == "street scenes, second try"
    assert [one["name"] for one in http.get("/v1/jobs").json()["items"]] == ["street scenes, second try"]
    dataset = f"/v1/datasets/{job['result']['dataset']}"
    assert http.get(dataset).json()["name"] == "street scenes, second try"
    assert [one["name"] for one in http.get("/v1/datasets").json()["items"]] == ["street scenes, second try"]
    assert "street scenes, second try" in http.get("/").text
    assert start()["name"] is None


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines", "\x1b[31mred", "nul\x00"])
def test_name_that_would_break_a_list_is_refused(http: TestClient, wish: dict[str, Any], name: str) -> None:
    refused = problem(http.post("/v1/jobs", json=wish | {"name": name}), 422, "invalid_request")
    assert {one["pointer"] for one in refused["errors"]} == {"#/name"}


def test_steps_of_a_job_have_display_names(http: TestClient, start: Start) -> None:
    titles = [step["title"] for step in start()["steps"]]
    assert titles == ["reading labels", "inverting images", "training labeler", "generating", "finishing"]
    assert "reading labels" in http.get("/").text
