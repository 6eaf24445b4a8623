"""Random faults in random order, again and again: `make faults`. A seed that fails says so, and can be run alone.

The last line of the output sums them up; docs/operations.md has that of the last long run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from store.errors import StoreUnavailable
from store.jobs.events import events
from store.jobs.views import Job
from store.sweep import sweep
from tests.faults.conftest import Deployment
from tests.servers import PostgresServer
from tests.worker.servicekit import TENANT, assert_survived, submit, view

#: OFFHAND_FAULT_SEEDS=5 tries the seeds 0 to 4; OFFHAND_FAULT_SEEDS=7:8 tries 7 alone.
VARIABLE = "OFFHAND_FAULT_SEEDS"
POINTS = ("supervisor.after_claim", "supervisor.before_commit", "supervisor.after_commit", "child.after_put")
SECONDS = 600.0
#: Long enough that a busy machine gives a process its turn within; a freeze is longer.
LEASE, FREEZE = 5.0, 7.0


def _seeds() -> range:
    first, _, stop = os.environ.get(VARIABLE, "10").rpartition(":")
    return range(int(first or 0), int(stop))


class Schedule:
    """Strikes a deployment with one fault after the other."""

    def __init__(self, deployment: Deployment, postgres: PostgresServer, seed: int) -> None:
        self.random = random.Random(seed)
        self.struck: list[str] = []
        self._deployment, self._server = deployment, postgres

    def strike(self) -> None:
        name = self.random.choice(
            ["kill", "freeze", "crash", "relay", "broker", "postgres", "cut", "blackhole", "slow_storage", "terminate"]
        )
        self.struck.append(name)
        getattr(self, f"_{name}")()

    def replace_dead(self) -> None:
        """Two workers and a relay are there at any time."""
        for _ in range(2 - len(_alive(self._deployment.workers))):
            self._deployment.worker()
        if not _alive(self._deployment.relays):
            self._deployment.relay()

    def _some_worker(self) -> int:
        return self.random.choice(_alive(self._deployment.workers)).pid

    def _kill(self) -> None:
        os.kill(self._some_worker(), signal.SIGKILL)

    def _terminate(self) -> None:
        os.kill(self._some_worker(), signal.SIGTERM)

    def _freeze(self) -> None:
        frozen = self._some_worker()
        os.kill(frozen, signal.SIGSTOP)
        time.sleep(FREEZE)
        os.kill(frozen, signal.SIGCONT)

    def _crash(self) -> None:
        """A worker that dies once at the point, or whose child does."""
        died = self._deployment.settings.home / f"died-{len(self.struck)}"
        self._deployment.worker(crash=f"{self.random.choice(POINTS)}:{died}")
        time.sleep(2.0)

    def _relay(self) -> None:
        """It is killed, and the next one dies with a hint rung and not forgotten, or lives."""
        for relay in _alive(self._deployment.relays):
            relay.kill()
        self._deployment.relay(crash=self.random.choice(["", "relay.after_ring"]))

    def _broker(self) -> None:
        self._deployment.doorbell.kill()
        self._deployment.doorbell.start()

    def _postgres(self) -> None:
        self._server.restart()

    def _cut(self) -> None:
        self.random.choice([self._deployment.database, self._deployment.storage, self._deployment.broker]).cut()

    def _blackhole(self) -> None:
        proxy = self.random.choice([self._deployment.storage, self._deployment.broker])
        proxy.blackhole = True
        time.sleep(2.0)
        proxy.blackhole = False
        proxy.cut()

    def _slow_storage(self) -> None:
        self._deployment.storage.delay = self.random.choice([0.0, 0.02, 0.1])


def _alive(processes: list[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    return [process for process in processes if process.poll() is None]


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[str]]:
    """Sums over the schedules, said at the end."""
    sums: Counter[str] = Counter()
    yield sums
    print(
        f"\n{sums['tried']} schedules tried, {sums['survived']} survived: {sums['faults']} faults injected; "
        f"of {sums['shards']} shards {sums['lost']} lost, {sums['duplicated']} duplicated"
    )


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("seed", _seeds())
def test_a_random_schedule_loses_nothing(
    deployment: Deployment, postgres_server: PostgresServer, tally: Counter[str], seed: int
) -> None:
    tally["tried"] += 1
    # Deaths count as failed attempts; whether they poison a shard is not what this is about.
    deployment.settings.worker.max_attempts = deployment.db.settings.worker.max_attempts = 1000
    deployment.settings.worker.lease_seconds = LEASE
    schedule = Schedule(deployment, postgres_server, seed)
    count = schedule.random.randint(6, 20)
    job = submit(deployment.db, count=count, seconds=schedule.random.choice([0.0, 0.2, 0.5]))
    until = time.monotonic() + SECONDS
    faults = schedule.random.randint(4, 12)
    while not _ended(deployment, job):
        assert time.monotonic() < until, f"seed {seed} after {schedule.struck}"
        schedule.replace_dead()
        time.sleep(schedule.random.uniform(0.2, 1.5))
        if len(schedule.struck) < faults:
            schedule.strike()
    deployment.kill()
    tally["faults"] += len(schedule.struck)
    tally["shards"] += count
    commits = _commits_of_shards(deployment, job)
    tally["lost"] += count - len(commits)
    tally["duplicated"] += sum(commits.values()) - len(commits)
    print(f"seed {seed}: {count} shards, {len(schedule.struck)} faults: {' '.join(schedule.struck)}")
    deployment.db.settings.worker.lease_seconds = -10.0
    sweep(deployment.db, deployment.objects)
    assert_survived(deployment.db, deployment.objects, job, count)
    tally["survived"] += 1


def _commits_of_shards(deployment: Deployment, job: Job) -> Counter[int]:
    """How often the job's log has the commit of each shard of work."""
    log = events(deployment.db, job.id, tenant=TENANT, limit=10_000)
    return Counter(
        event.data["position"] for event in log if event.name == "shard.committed" and event.data["step"] == "work"
    )


def _ended(deployment: Deployment, job: Job) -> bool:
    try:
        return view(deployment.db, job).terminal
    except StoreUnavailable:
        return False
