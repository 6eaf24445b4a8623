"""`python -m worker.service.doctor`: what keeps a worker from working here, as JSON; `offhand doctor` shows it.

Each finding is a `name`, `ok` (true, false, or null: neither good nor bad) and a `detail` that says what to do. Nothing
is changed: tables are looked at and not migrated, and the one object that is written is deleted again.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from kombu.connection import Connection
from pydantic import ValidationError

from contracts.perceptual import HOW_TO_PROVIDE
from store.database.database import Database, create_database_engine
from store.database.migrate import bring_up_to_date
from store.errors import DamagedObject, StoreError
from store.ids import new_id
from store.jobs.deployment_metrics import figures
from store.objects import ObjectStore, open_objects, verified
from store.resources.files import File
from store.settings import Settings
from store.tables import SCHEMA_REVISION
from store.workers import live_workers
from worker.weights.folders import perceptual_weights

_LITTLE_SPACE = 2 * 1024**3
#: A relay hands hints on within a second.
_LATE_SECONDS = 60.0
_PROBE = b"offhand doctor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool | None
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that a worker with these settings needs. Nothing raises."""
    checks: list[tuple[str, Callable[[Settings], Iterator[Finding]]]] = [
        ("database", _database),
        ("objects", _objects),
        ("broker", _broker),
        ("device", _device),
        ("perceptual weights", _perceptual_weights),
        ("disk", _disk),
    ]
    return [finding for name, check in checks for finding in _guarded(name, check, settings)]


def _guarded(name: str, check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> list[Finding]:
    try:
        return list(check(settings))
    except Exception as error:
        return [Finding(name, False, f"{type(error).__name__}: {error}")]


def _database(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, how old its tables are, and which workers it has heard."""
    where = settings.database_url.rpartition("@")[2]
    if where.startswith("sqlite:///") and not Path(where.removeprefix("sqlite:///")).exists():
        yield Finding("database", None, f"{where} is not there yet; `offhand up` makes it")
        return
    db = Database(create_database_engine(settings), settings)
    try:
        db.ping()
        current = bring_up_to_date(db.engine, may_migrate=False) == SCHEMA_REVISION
        age = "up to date" if current else "of a newer Offhand: upgrade this one soon"
        yield Finding("database", True, f"{where} answers, its tables are {age}")
        heard = live_workers(db)
        detail = f"{heard} heard within a minute" if heard else "none was heard within a minute; start: offhand worker"
        yield Finding("workers", True if heard else None, detail)
        yield _hints(db, heard)
    except StoreError as error:
        yield Finding("database", False, f"{error} (OFFHAND_DATABASE__URL: {where})")
    finally:
        db.close()


def _hints(db: Database, workers: int) -> Finding:
    """Check that a relay rings the workers; the embedded service needs none."""
    with db.read() as connection:
        found = figures(connection)
    if found.oldest_hint_seconds <= _LATE_SECONDS:
        return Finding("hints", True, "none waits for long")
    detail = f"{found.hints} wait, the oldest for {found.oldest_hint_seconds:.0f} s"
    if not workers:
        return Finding("hints", None, f"{detail}; so do the workers that would follow them")
    return Finding("hints", False, f"{detail}: no relay reaches the broker; start: python -m worker.service.relay")


def _objects(settings: Settings) -> Iterator[Finding]:
    """Whether an object can be written, read back and deleted."""
    chosen = settings.objects
    where = str(settings.objects_folder) if chosen.kind == "local" else f"{chosen.endpoint_url or 'S3'} {chosen.bucket}"
    if chosen.kind == "local" and not settings.objects_folder.exists():
        yield Finding("objects", None, f"{where} is not there yet; `offhand up` makes it")
        return
    key = f"doctor/{new_id('probe')}"
    try:
        objects = open_objects(settings)
        stored = objects.put(key, _PROBE)
        same = _is_read_back(objects, File("doctor", "probe", key, stored.bytes, stored.sha256, "text/plain"))
        objects.delete(key)
    except StoreError as error:
        yield Finding("objects", False, f"{error} (OFFHAND_OBJECTS__…: {where})")
        return
    detail = "takes and gives back objects" if same else "gives back other bytes than it took: do not use it"
    yield Finding("objects", same, f"{where} {detail}")


def _is_read_back(objects: ObjectStore, probe: File) -> bool:
    try:
        verified.read(objects, probe)
    except DamagedObject:
        return False
    return True


def _broker(settings: Settings) -> Iterator[Finding]:
    """Whether it takes connections; who has not named one may well do without."""
    with Connection(settings.broker.url, connect_timeout=settings.broker.connect_timeout_seconds) as connection:  # type: ignore[no-untyped-call]
        where = connection.as_uri()
        try:
            connection.ensure_connection(max_retries=1, timeout=settings.broker.connect_timeout_seconds)
        except Exception as error:  # of whatever library speaks to this kind of broker
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            if "url" in settings.broker.model_fields_set:
                yield Finding("broker", False, f"{where}: {said}; jobs wait until it is back (OFFHAND_BROKER__URL)")
            else:
                yield Finding("broker", None, f"nothing answers at {where}; `offhand up` needs none")
            return
    yield Finding("broker", True, f"{where} answers")


def _device(settings: Settings) -> Iterator[Finding]:
    """Whether the device that is set computes."""
    try:
        import torch
    except ImportError:
        yield Finding("device", None, "torch is not installed; a worker needs: pip install -e '.[worker]'")
        return
    wanted = settings.worker.device
    device = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
    try:
        torch.ones(8, 8, device=device).matmul(torch.ones(8, 8, device=device)).sum().item()
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        detail = (
            f"{device} does not compute: {said}; set OFFHAND_WORKER__DEVICE=cpu, or install a driver and CUDA torch"
        )
        yield Finding("device", False, detail)
        return
    if device == "cpu":
        yield Finding("device", True, f"cpu, {torch.get_num_threads()} threads, torch {torch.__version__}")
        return
    free, total = torch.cuda.mem_get_info(device)
    name = torch.cuda.get_device_name(device)
    yield Finding("device", True, f"{device}, {name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")


def _perceptual_weights(settings: Settings) -> Iterator[Finding]:
    """Whether images can be compared for generators without a perceptual network of their own."""
    chosen = perceptual_weights(settings)
    if chosen is not None:
        yield Finding("perceptual weights", True, f"LPIPS ({chosen[0]}) from {chosen[1]}")
        return
    detail = f"none; built-in generators need none, for imported ones {HOW_TO_PROVIDE}"
    yield Finding("perceptual weights", None, detail)


def _disk(settings: Settings) -> Iterator[Finding]:
    """Room where data and temporary files go."""
    places = (("disk", settings.home.absolute(), "OFFHAND_HOME"), ("scratch", Path(tempfile.gettempdir()), "TMPDIR"))
    for name, folder, variable in places:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        free = shutil.disk_usage(there).free
        detail = f"{free / 2**30:.1f} GiB free at {there}"
        enough = free >= _LITTLE_SPACE
        yield Finding(name, enough, detail if enough else f"{detail}: make room, or name another folder ({variable})")


def main() -> None:
    """Print the findings as a JSON list."""
    logging.disable()
    try:
        findings = examine(Settings())
    except ValidationError as error:
        findings = [
            Finding("settings", False, f"OFFHAND_{'__'.join(map(str, one['loc'])).upper()}: {one['msg']}")
            for one in error.errors()
        ]
    print(json.dumps([asdict(finding) for finding in findings]))


if __name__ == "__main__":
    main()
