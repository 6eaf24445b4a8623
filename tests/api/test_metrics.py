"""`/metrics` speaks Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient


def test_metrics_can_be_read_by_prometheus(http: TestClient, start: Callable[..., dict[str, Any]]) -> None:
    start()
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    waiting = {sample.labels["queue"]: sample.value for sample in families["offhand_shards_waiting"].samples}
    assert waiting == {"sample": 0, "train": 0, "cpu": 1}
    assert families["offhand_outbox_hints"].samples[0].value == 1
    assert families["offhand_jobs_active"].samples[0].labels == {"state": "queued"}
    assert families["offhand_workers"].samples[0].value == 0
