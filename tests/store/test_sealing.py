"""Secrets of webhooks in the database: encrypted, readable with old keys, encrypted again with new ones."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError
from sqlalchemy import select, update

from store.database.database import Database
from store.errors import StoreUnavailable
from store.settings import Settings, WebhookSettings
from store.tables import webhook_endpoints
from store.webhooks.endpoints import create_endpoint, rotate_secret
from store.webhooks.sealing import KEY_FILE, Unreadable, reseal, seal, unseal
from tests.store.jobkit import TENANT

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def settings_with(home: Path, *keys: str) -> Settings:
    return Settings(home=home, webhooks=WebhookSettings(keys=list(keys)))


def endpoint(db: Database) -> tuple[str, str]:
    """Id and secret of a new endpoint."""
    made = create_endpoint(db, tenant=TENANT, url="https://hooks.example/", lookup=lambda *_: ["1.1.1.1"])
    assert made.secret is not None
    return made.endpoint.id, made.secret


def stored(db: Database) -> list[str]:
    with db.read() as connection:
        rows: list[Any] = list(connection.execute(select(webhook_endpoints.c.secrets)).scalars())
    return [one["secret"] for row in rows for one in row]


def store_plain(db: Database, endpoint_id: str, secret: str) -> None:
    """Write a secret as versions before did."""
    with db.write() as connection:
        mine = update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id)
        connection.execute(mine.values(secrets=[{"secret": secret, "until": None}]))


def test_no_webhook_secret_is_in_the_database_in_the_clear(db: Database) -> None:
    endpoint_id, first = endpoint(db)
    second = rotate_secret(db, endpoint_id, tenant=TENANT, overlap_hours=1)
    assert [unseal(db.settings, one) for one in stored(db)] == [second, first]
    assert not any("whsec_" in one or first[6:] in one or second[6:] in one for one in stored(db))
    if db.is_sqlite:
        content = b"".join(path.read_bytes() for path in db.settings.home.glob("offhand.sqlite3*"))
        assert b"whsec_" not in content


def test_equal_secrets_are_encrypted_differently(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, NEW)
    assert seal(settings, "whsec_a") != seal(settings, "whsec_a")


def test_without_keys_in_the_settings_a_private_key_file_is_made_once(tmp_path: Path) -> None:
    settings = settings_with(tmp_path / "home")
    with pytest.raises(Unreadable):
        unseal(settings, "fernet:" + Fernet(NEW).encrypt(b"whsec_a").decode())
    assert not settings.home.exists()  # reading makes no key
    first = seal(settings, "whsec_a")
    file = settings.home / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    assert [unseal(settings, one) for one in (first, seal(settings, "whsec_b"))] == ["whsec_a", "whsec_b"]
    assert file.read_bytes() == before
    assert list(settings.home.iterdir()) == [file]


def test_processes_that_need_a_key_file_at_once_agree_on_one(tmp_path: Path) -> None:
    settings, sealed, gate = settings_with(tmp_path), [], threading.Barrier(8)

    def one() -> None:
        gate.wait()
        sealed.append(seal(settings, "whsec_a"))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [unseal(settings, text) for text in sealed] == ["whsec_a"] * 8
    assert len((tmp_path / KEY_FILE).read_text().split()) == 1


def test_with_keys_in_the_settings_no_key_file_is_made(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, NEW)
    assert unseal(settings, seal(settings, "whsec_a")) == "whsec_a"
    assert list(tmp_path.iterdir()) == []


def test_old_keys_decrypt_and_the_newest_encrypts(tmp_path: Path) -> None:
    old = seal(settings_with(tmp_path, OLD), "whsec_a")
    both = settings_with(tmp_path, NEW, OLD)
    assert unseal(both, old) == "whsec_a"
    new = seal(both, "whsec_b")
    assert unseal(settings_with(tmp_path, NEW), new) == "whsec_b"
    with pytest.raises(Unreadable):
        unseal(settings_with(tmp_path, NEW), old)
    with pytest.raises(Unreadable):
        unseal(both, old[:-6] + "AAAAA=")


def test_the_key_file_goes_on_decrypting_once_keys_are_in_the_settings(tmp_path: Path) -> None:
    sealed = seal(settings_with(tmp_path), "whsec_a")
    assert unseal(settings_with(tmp_path, NEW), sealed) == "whsec_a"


def test_plain_secrets_are_readable_and_are_encrypted_by_reseal(db: Database) -> None:
    endpoint_id, _ = endpoint(db)
    store_plain(db, endpoint_id, "whsec_plain")
    assert [unseal(db.settings, one) for one in stored(db)] == ["whsec_plain"]
    assert reseal(db) == (1, [])
    assert reseal(db) == (0, [])
    assert "whsec_plain" not in str(stored(db))
    assert [unseal(db.settings, one) for one in stored(db)] == ["whsec_plain"]


def test_reseal_replaces_an_old_key_so_that_it_can_be_removed(db: Database) -> None:
    db.settings.webhooks.keys = [OLD]
    endpoint_id, first = endpoint(db)
    second = rotate_secret(db, endpoint_id, tenant=TENANT, overlap_hours=1)
    db.settings.webhooks.keys = [NEW, OLD]
    assert reseal(db) == (2, [])
    db.settings.webhooks.keys = [NEW]
    assert [unseal(db.settings, one) for one in stored(db)] == [second, first]


def test_reseal_names_endpoints_whose_key_is_lost_and_leaves_their_secrets(db: Database) -> None:
    db.settings.webhooks.keys = [OLD]
    lost, _ = endpoint(db)
    before = stored(db)
    db.settings.webhooks.keys = [NEW]
    endpoint(db)
    assert reseal(db) == (0, [lost])
    assert before[0] in stored(db)


def test_a_broken_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text(f"{OLD}\nnot a key\n")
    with pytest.raises(StoreUnavailable, match=KEY_FILE):
        seal(settings_with(tmp_path), "whsec_a")


def test_a_wrong_key_in_the_settings_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHAND_WEBHOOKS__KEYS", '["too-short-secret"]')
    with pytest.raises(ValidationError, match="44 characters") as refused:
        Settings()
    assert "too-short-secret" not in str(refused.value)
    assert OLD not in repr(settings_with(Path(), OLD))
