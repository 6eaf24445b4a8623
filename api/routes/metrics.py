"""Metrics of the deployment for Prometheus. Read from the database: any API process reports all workers."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.backend import Db
from api.protocol.problems import documented
from api.security.scopes import AdminTenant
from store.jobs.deployment_metrics import Figures, figures
from store.jobs.kinds import QUEUES
from store.workers import live_workers

router = APIRouter(tags=["health"])
TEXT = "text/plain; version=0.0.4; charset=utf-8"
ANSWERS: dict[int | str, dict[str, Any]] = {200: {"content": {TEXT: {}}}, **documented(403)}


@router.get("/metrics", response_class=Response, responses=ANSWERS)
def get_metrics(db: Db, tenant: AdminTenant) -> Response:  # noqa: ARG001 - asked for so that a key needs its scope
    """Queues, speeds, failures and the outbox, of the whole deployment. A key needs the scope `admin`."""
    with db.read() as connection:
        found = figures(connection)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(found, live_workers(db)))
    return Response(generate_latest(registry), media_type=TEXT)


class _Families(Collector):
    def __init__(self, found: Figures, workers: int) -> None:
        self.found, self.workers = found, workers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self.found
        yield _plain("offhand_workers", "Workers heard from lately.", self.workers)
        empty: dict[str, int] = dict.fromkeys(QUEUES, 0)
        yield _by("queue", "offhand_shards_waiting", "Shards that wait, by queue.", empty | found.waiting)
        yield _by("queue", "offhand_shards_running", "Shards under a lease, by queue.", empty | found.running)
        yield _plain(
            "offhand_oldest_waiting_seconds", "How long the first runnable shard waits.", found.oldest_waiting_seconds
        )
        yield _by("state", "offhand_jobs_active", "Jobs that have not ended.", found.active_jobs)
        yield _by("step", "offhand_shards_poisoned", "Shards without a result after all attempts.", found.poisoned)
        yield _by(
            "code",
            "offhand_recent_failures",
            "Failed attempts of shards that ended within ten minutes; worker_lost: leases that ran out.",
            found.failures,
        )
        speeds = {speed.step: speed for speed in found.speeds}
        yield _by(
            "step",
            "offhand_recent_shards",
            "Shards committed within ten minutes.",
            {name: speed.shards for name, speed in speeds.items()},
        )
        yield _by(
            "step",
            "offhand_recent_shard_seconds",
            "Mean seconds of those shards.",
            {name: speed.seconds / speed.shards for name, speed in speeds.items()},
        )
        yield _by(
            "step",
            "offhand_recent_images_per_second",
            "Images each worker made a second in those shards.",
            {name: speed.images / speed.seconds for name, speed in speeds.items() if speed.images and speed.seconds},
        )
        yield _plain("offhand_outbox_hints", "Hints not yet published.", found.hints)
        yield _plain("offhand_outbox_lag_seconds", "Age of the oldest of them.", found.oldest_hint_seconds)


def _plain(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _by(label: str, name: str, about: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
