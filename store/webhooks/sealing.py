"""Secrets of webhooks as they lie in the database: encrypted with Fernet (AES-128-CBC and HMAC-SHA256).

The keys are those of the settings, newest first, then those of the key file in the data folder. The file is made at the
first use of a service without keys in its settings. The first key encrypts; all decrypt, so that a key is replaced by
putting a new one before it and removing it once `reseal` has run.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import select, update

from store.database.database import Database
from store.errors import StorageFull, StoreUnavailable
from store.settings import Settings, is_key
from store.tables import webhook_endpoints as table

#: Begins what is encrypted. A secret without it was written before secrets were encrypted.
_SEALED = "fernet:"
#: One key a line, newest first.
KEY_FILE = "webhook.keys"


class Unreadable(Exception):
    """None of the keys decrypts a secret."""

    def __init__(self) -> None:
        super().__init__(
            f"no key decrypts the endpoint's secret: give OFFHAND_WEBHOOKS__KEYS (or {KEY_FILE} in the data folder) "
            "the key that the API encrypted it with"
        )


def seal(settings: Settings, secret: str) -> str:
    """Encrypt a secret. Raises StoreUnavailable or StorageFull when a new key file cannot be written."""
    keys = _keys(settings) or [_new_key(settings)]
    return _SEALED + Fernet(keys[0]).encrypt(secret.encode()).decode()


def unseal(settings: Settings, stored: str) -> str:
    """Decrypt what `seal` returned; a secret that was never encrypted is returned as it is. Raises Unreadable."""
    if not stored.startswith(_SEALED):
        return stored
    keys = _keys(settings)
    if not keys:
        raise Unreadable
    try:
        return MultiFernet([Fernet(key) for key in keys]).decrypt(stored.removeprefix(_SEALED).encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def reseal(db: Database) -> tuple[int, list[str]]:
    """Encrypt every secret with the newest key that is not yet: plain ones, and those of older keys. Returns how many
    were encrypted, and the ids of endpoints with a secret that no key decrypts.
    """
    done, unreadable = 0, []
    with db.read() as connection:
        stale = [row.id for row in connection.execute(select(table)) if _is_stale(db.settings, row.secrets)]
    for endpoint_id in stale:
        with db.write() as connection:
            secrets = connection.execute(
                select(table.c.secrets).where(table.c.id == endpoint_id).with_for_update()
            ).scalar()
            try:
                sealed = [one | {"secret": _renewed(db.settings, one["secret"])} for one in secrets or ()]
            except Unreadable:
                unreadable.append(endpoint_id)
                continue
            connection.execute(update(table).where(table.c.id == endpoint_id).values(secrets=sealed))
            done += len(sealed)
    return done, unreadable


def _renewed(settings: Settings, stored: str) -> str:
    return stored if _is_fresh(settings, stored) else seal(settings, unseal(settings, stored))


def _is_stale(settings: Settings, secrets: list[dict[str, str]]) -> bool:
    return not all(_is_fresh(settings, one["secret"]) for one in secrets)


def _is_fresh(settings: Settings, stored: str) -> bool:
    """Whether the newest key encrypted it."""
    keys = _keys(settings)
    if not keys or not stored.startswith(_SEALED):
        return False
    try:
        Fernet(keys[0]).decrypt(stored.removeprefix(_SEALED).encode())
    except InvalidToken:
        return False
    return True


def _keys(settings: Settings) -> list[str]:
    file = settings.home / KEY_FILE
    try:
        written = file.read_text("ascii").split()
    except FileNotFoundError:
        written = []
    except (OSError, UnicodeError) as error:
        raise StoreUnavailable(f"{KEY_FILE} in the data folder cannot be read") from error
    wrong = [str(line) for line, key in enumerate(written, start=1) if not is_key(key)]
    if wrong:
        raise StoreUnavailable(
            f"{KEY_FILE} in the data folder: expected one key a line; line {', '.join(wrong)} is none"
        )
    return [*settings.webhooks.keys, *written]


def _new_key(settings: Settings) -> str:
    """Write a key file, unless another process writes one at this moment; the key that stands."""
    file = settings.home / KEY_FILE
    draft = file.with_name(f"{KEY_FILE}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        _write_private(draft, Fernet.generate_key() + b"\n")
        try:
            os.link(draft, file)  # whole, or not at all where there is one
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        how = (
            f"{KEY_FILE} cannot be written to the data folder: set OFFHAND_WEBHOOKS__KEYS, or make the folder writable"
        )
        raise (StorageFull if full else StoreUnavailable)(how) from error
    return _keys(settings)[0]


def _write_private(path: Path, content: bytes) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
