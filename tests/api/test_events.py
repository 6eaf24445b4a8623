"""A job's log, in pages and as a stream."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.routes.events import _look
from store.database.database import Database
from store.jobs.events import record
from tests.api.protocol.test_errors import problem
from tests.api.worlds import end_job

Start = Callable[..., dict[str, Any]]
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def ended(start: Start, db: Database) -> dict[str, Any]:
    """A job that is over, with five events."""
    job = start()
    with db.write() as connection:
        for step in ("validate", "invert", "sample"):
            record(connection, job["id"], "step.finished", step=step)
        end_job(connection, job["id"], "failed")
    return job


def test_the_log_comes_in_pages(http: TestClient, ended: dict[str, Any]) -> None:
    path = ended["urls"]["events"]
    numbers: list[int] = []
    token = None
    while True:
        page = http.get(path, params={"page_size": 2} | ({"page_token": token} if token else {})).json()
        numbers += [event["number"] for event in page["items"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert numbers == [1, 2, 3, 4, 5]
    problem(http.get(path, params={"page_token": "nonsense"}), 422, "invalid_request")


def stream_ids(text: str) -> list[int]:
    return [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]


def test_a_stream_of_an_ended_job_tells_all_and_ends(http: TestClient, ended: dict[str, Any]) -> None:
    answer = http.get(ended["urls"]["events"], headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert stream_ids(answer.text) == [1, 2, 3, 4, 5]
    assert "event: job.failed" in answer.text


def test_a_stream_goes_on_where_it_was_cut(http: TestClient, ended: dict[str, Any]) -> None:
    path = ended["urls"]["events"]
    assert stream_ids(http.get(path, headers=STREAM | {"Last-Event-ID": "3"}).text) == [4, 5]
    assert http.get(path, headers=STREAM | {"Last-Event-ID": "5"}).status_code == 204
    for nonsense in ("x", "-1", "9" * 400, "³"):
        headers = {k: v.encode() for k, v in (STREAM | {"Last-Event-ID": nonsense}).items()}
        assert stream_ids(http.get(path, headers=headers).text) == [1, 2, 3, 4, 5]


def test_a_long_log_is_told_whole(
    http: TestClient, start: Start, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.events.BATCH", 20)
    job = start()
    with db.write() as connection:
        for number in range(45):
            record(connection, job["id"], "shard.finished", shard=number)
        end_job(connection, job["id"], "failed")
    assert stream_ids(http.get(job["urls"]["events"], headers=STREAM).text) == list(range(1, 48))


def test_silence_is_filled_with_heartbeats(
    http: TestClient, start: Start, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    silent = threading.Event()

    def look(*arguments: Any) -> Any:
        if next(looks) == 3:
            silent.set()
        return _look(*arguments)

    monkeypatch.setattr("api.routes.events._look", look)
    monkeypatch.setattr("api.routes.events.HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr("api.live_logs.POLL_SECONDS", 0.02)
    job = start()

    def end_later() -> None:
        silent.wait(60)
        with db.write() as connection:
            end_job(connection, job["id"], "failed")

    ending = threading.Thread(target=end_later)
    ending.start()
    text = http.get(job["urls"]["events"], headers=STREAM).text
    ending.join()
    assert ": ping" in text
    assert stream_ids(text) == [1, 2]
