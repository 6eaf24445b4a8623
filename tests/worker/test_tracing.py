"""One trace from the POST to every attempt at a shard; nothing of it while tracing is off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import select

from api.app import create_app
from store import tracing
from store.database.database import Database
from store.objects import ObjectStore
from store.settings import Settings, TracingSettings
from store.tables import jobs
from tests.worker.servicekit import STEPS, submit, view
from worker.runtime.supervisor import Supervisor

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter(settings: Settings) -> Iterator[InMemorySpanExporter]:
    """Where spans go while the test runs."""
    kept = InMemorySpanExporter()
    settings.tracing = TracingSettings(endpoint="http://127.0.0.1:4318")
    tracing.switch_on(settings, "worker", kept)
    yield kept
    tracing.switch_off()


def _named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_shards_are_in_the_trace_of_the_request(
    settings: Settings, db: Database, objects: ObjectStore, exporter: InMemorySpanExporter
) -> None:
    with tracing.span("POST /v1/jobs", kind="server", parent=CALLER):
        job = submit(db, count=2, fault="raise")
    supervisor = Supervisor(settings, db, objects, steps=STEPS)
    supervisor.run_until_idle()
    supervisor.close()
    assert view(db, job).state == "failed"
    (request,) = _named(exporter, "POST /v1/jobs")
    (plan,) = _named(exporter, "shard plan")
    failed = _named(exporter, "shard work")
    assert len(failed) == settings.worker.max_attempts
    for span in (plan, *failed):
        assert span.context.trace_id == request.context.trace_id == int(CALLER.split("-")[1], 16)
        assert span.parent is not None
        assert span.parent.span_id == request.context.span_id
        assert span.attributes is not None
        assert span.attributes["offhand.job"] == job.id
    assert plan.attributes is not None
    assert plan.attributes["offhand.ended"] == "committed"
    assert [span.attributes and span.attributes["offhand.attempt"] for span in failed] == [1, 2, 3]
    assert {span.attributes and span.attributes["error.type"] for span in failed} == {"internal_error"}


def test_a_request_is_a_span_under_its_route(settings: Settings, exporter: InMemorySpanExporter) -> None:
    # The application would switch to a collector of its own.
    settings.tracing = TracingSettings()
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8321") as http:
        http.get("/v1/jobs/job_missing", headers={"traceparent": CALLER})
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /v1/jobs/{job_id}"
    assert span.attributes is not None
    assert (span.attributes["url.path"], span.attributes["http.response.status_code"]) == ("/v1/jobs/job_missing", 404)
    assert span.context.trace_id == int(CALLER.split("-")[1], 16)


def test_a_job_remembers_its_trace_only_while_tracing_is_on(db: Database) -> None:
    job = submit(db)
    with db.read() as connection:
        assert connection.execute(select(jobs.c.traceparent).where(jobs.c.id == job.id)).scalar_one() == ""


def test_nothing_is_loaded_while_tracing_is_off(repository: Path) -> None:
    program = "import sys, worker.runtime.supervisor, store.tracing; print('opentelemetry' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
    with tracing.span("nothing") as made:
        assert made is None
        tracing.note("offhand.ended", "committed")
        assert tracing.traceparent() == ""
