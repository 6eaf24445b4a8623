"""Workers that take some kinds of work only, behind Redis and behind RabbitMQ; one GPU each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.process import environment_to_compute
from store.database.database import open_database
from store.settings import BrokerSettings
from tests.servers import RabbitServer, RedisServer
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import start_relay, start_worker, submit, view, wait_until
from worker.runtime.child_handle import environment_of_child, settings_of_child


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)])
def broker(request: pytest.FixtureRequest) -> str:
    server: RedisServer | RabbitServer = request.getfixturevalue(
        "redis_server" if request.param == "redis" else "rabbit_server"
    )
    return server.url


@pytest.mark.timeout(240)
def test_packing_does_not_wait_behind_sampling(
    postgres_url: str, broker: str, tmp_path: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    settings = quick_settings(tmp_path, postgres_url)
    settings.broker = BrokerSettings(url=broker)
    # A transaction of this process may idle for longer than the workers' short leases when the machine is busy.
    patient = settings.model_copy(deep=True)
    patient.worker.lease_seconds = 60.0
    db = open_database(patient)
    endless, short = submit(db, count=1, seconds=600), submit(db, count=2)
    workers += [start_relay(settings), start_worker(settings, broker=True, queues="train,cpu")]
    # The sampler of the short job is another one than the sampler that is kept busy.
    workers.append(start_worker(settings, broker=True, queues="sample"))
    wait_until(lambda: view(db, endless).steps[1].state == "running")
    workers.append(start_worker(settings, broker=True, queues="sample"))
    wait_until(lambda: view(db, short).state == "succeeded")
    assert view(db, endless).state == "running"
    assert view(db, short).counts.done == 2
    db.close()


def test_a_queue_that_is_not_there_is_named() -> None:
    command = [sys.executable, "-m", "offhand", "worker", "--device", "cpu", "--queues", "sample,nope"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "no queue nope; there are sample, train, cpu" in ended.stderr


def test_a_child_sees_its_gpu_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = quick_settings(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "CUDA_VISIBLE_DEVICES" not in environment_of_child(settings)
    settings.worker.device = "cuda:1"
    assert environment_of_child(settings)["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert environment_of_child(settings)["CUDA_VISIBLE_DEVICES"] == "6"
    assert settings_of_child(settings).worker.device == "cuda"
    assert settings.worker.device == "cuda:1"
    settings.worker.device = "cpu"
    assert environment_of_child(settings)["CUDA_VISIBLE_DEVICES"] == os.environ["CUDA_VISIBLE_DEVICES"]
    assert settings_of_child(settings).worker.device == "cpu"


def test_a_child_is_begun_as_a_process_that_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = quick_settings(tmp_path)
    monkeypatch.setenv("OMP_DYNAMIC", "true")
    assert environment_of_child(settings).items() >= environment_to_compute(os.environ).items()
    assert environment_of_child(settings)["OMP_DYNAMIC"] == "false"
