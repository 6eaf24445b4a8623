"""The doctor looks at what a worker needs, and says what to do about what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text, update

from store.database.clock import database_now
from store.database.database import Database
from store.objects import ObjectStore
from store.settings import BrokerSettings, DatabaseSettings, ObjectSettings, Settings
from store.tables import outbox
from store.workers import worker_alive
from tests.servers import RedisServer, free_port
from tests.worker.servicekit import submit
from worker.service import doctor
from worker.service.doctor import Finding, examine


def _examined(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(settings)}


def test_all_is_well(settings: Settings, db: Database, objects: ObjectStore, redis_server: RedisServer) -> None:
    settings.broker = BrokerSettings(url=redis_server.url)
    settings.worker.device = "cpu"
    settings.worker.perceptual_weights = str(settings.home)
    (settings.home / "vgg16-397923af.pth").touch()
    worker_alive(db, "somebody")
    found = _examined(settings)
    assert {name: finding.ok for name, finding in found.items()} == dict.fromkeys(
        ("database", "workers", "hints", "objects", "broker", "device", "perceptual weights", "disk", "scratch"), True
    )
    assert "tables are up to date" in found["database"].detail
    assert found["workers"].detail.startswith("1 heard")
    assert list(objects.list()) == [], "the probe is gone"


def test_an_empty_machine_is_no_fault(settings: Settings) -> None:
    found = _examined(settings)
    assert [found[name].ok for name in ("database", "objects")] == [None, None]
    assert "offhand up" in found["database"].detail
    assert not settings.objects_folder.exists(), "nothing was made"


def test_what_is_away_is_said_with_the_setting_that_names_it(settings: Settings) -> None:
    port = free_port()
    settings.database = DatabaseSettings(url=f"postgresql+psycopg://me:secret@127.0.0.1:{port}/offhand")
    settings.broker = BrokerSettings(url=f"redis://127.0.0.1:{port}/0", connect_timeout_seconds=0.5)
    settings.objects = ObjectSettings(
        kind="s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        access_key="a",
        secret_key="b",
        attempts=1,
        connect_timeout_seconds=0.5,
    )
    found = _examined(settings)
    for name, variable in (("database", "DATABASE__URL"), ("broker", "BROKER__URL"), ("objects", "OBJECTS__")):
        assert found[name].ok is False, name
        assert f"OFFHAND_{variable}" in found[name].detail
    assert "secret" not in "".join(finding.detail for finding in found.values())


def test_old_tables_are_told_and_left_alone(settings: Settings, db: Database) -> None:
    with db.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert "out of date" in _examined(settings)["database"].detail
    with db.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0001"


def test_newer_tables_are_told(settings: Settings, db: Database) -> None:
    with db.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    found = _examined(settings)["database"]
    assert found.ok
    assert "upgrade this one soon" in found.detail


def test_a_relay_that_is_missing_is_told(settings: Settings, db: Database) -> None:
    submit(db)
    with db.write() as connection:
        connection.execute(update(outbox).values(created_at=database_now() - 90.0))
    assert _examined(settings)["hints"].ok is None, "nobody is there to be rung"
    worker_alive(db, "somebody")
    found = _examined(settings)["hints"]
    assert found.ok is False
    assert "1 wait, the oldest for 90 s" in found.detail
    assert "worker.service.relay" in found.detail


def test_a_device_that_is_not_there(settings: Settings) -> None:
    settings.worker.device = "cuda:63"
    found = _examined(settings)["device"]
    assert found.ok is False
    assert "OFFHAND_WORKER__DEVICE=cpu" in found.detail


def test_missing_perceptual_weights_are_no_fault_and_say_how_to_provide_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(settings.home / "cache"))
    found = _examined(settings)["perceptual weights"]
    assert found.ok is None
    assert "offhand weights pull vgg" in found.detail


def test_little_space(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_SPACE", 1 << 60)
    found = _examined(settings)
    assert (found["disk"].ok, found["scratch"].ok) == (False, False)
    assert "OFFHAND_HOME" in found["disk"].detail


def test_settings_that_cannot_be_read_are_a_finding(repository: Path) -> None:
    environment = {**os.environ, "OFFHAND_WORKER__BATCH": "many"}
    command = [sys.executable, "-m", "worker.service.doctor"]
    said = subprocess.run(command, env=environment, cwd=repository, capture_output=True, text=True, check=True).stdout
    (finding,) = json.loads(said)
    assert (finding["name"], finding["ok"]) == ("settings", False)
    assert finding["detail"].startswith("OFFHAND_WORKER__BATCH:")
