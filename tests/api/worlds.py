"""What a worker would have left behind, written with the store's own functions."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256
from typing import Any

from sqlalchemy import update

from store import tables
from store.database.database import Database
from store.jobs.events import record
from store.objects import ObjectStore
from store.resources import datasets, files
from store.resources.artifacts import NewMade, add_made
from store.resources.dataset_reports import DatasetReport
from store.resources.generators import CURVES, SAMPLES, TRAINED, TRAINING, GeneratorState, NewGenerator, add_generator
from store.resources.image_sets import NewImageSet, add_image_set

TENANT = "local"
INFO: dict[str, Any] = {
    "inversion": {
        "images": 12,
        "flagged": 11,
        "median_psnr": 16.3,
        "median_perceptual": 0.412,
        "perceptual_name": "lpips",
    },
    "held_out": {"images": 2, "accuracy": 0.89, "mean_iou": 0.43},
    "candidates": 60,
    "dropped": {"uncertain": 6, "composition": 48},
    "warnings": [
        "The generator cannot redraw the labelled images.",
        "Rare class 'hat': 2 of 12 labelled images show it.",
        "Only 12 labelled images.",
    ],
    "score": "class_mean",
    "rare_classes": ["Rare class 'hat': 2 of 12 labelled images show it."],
    "do_not_use": ["The generator cannot redraw the labelled images."],
}
CLASSES = [{"id": 0, "name": "background"}, {"id": 1, "name": "head"}]
PICTURE = b"\x89PNG\r\n\x1a\n" + b"a picture" * 10


def shard_bytes(index: int, size: int = 300_000) -> bytes:
    """A tar with one incompressible member; the same for the same index."""
    content = b"".join(sha256(f"{index}/{i}".encode()).digest() for i in range(size // 32))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(f"{index:09d}.image.png")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def keep(
    db: Database,
    objects: ObjectStore,
    owner: str,
    name: str,
    content: bytes,
    media_type: str,
    items: Any = None,
    tenant: str = TENANT,
) -> None:
    """Store a file of a resource."""
    info = objects.put(f"test/{owner}/{name.replace('/', '-')}", content)
    with db.write() as connection:
        file = files.File(owner, name, info.key, info.bytes, info.sha256, media_type, items)
        files.add_files(connection, tenant, [file])


def finish_dataset(
    db: Database,
    objects: ObjectStore,
    job: dict[str, Any],
    shards: int = 2,
    tenant: str = TENANT,
    info: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Bring a job to its end, with a dataset of so many shards; the manifest."""
    dataset = job["result"]["dataset"]
    listed = []
    for index in range(shards):
        content, path = shard_bytes(index), f"shards/{index:06d}.tar"
        keep(db, objects, dataset, path, content, "application/x-tar", items=10, tenant=tenant)
        listed.append({"path": path, "bytes": len(content), "sha256": sha256(content).hexdigest(), "items": 10})
    described = []
    for name, content, media_type in (
        (datasets.CARD, b"# Heads\n", "text/markdown"),
        (datasets.CONTACT_SHEET, PICTURE, "image/png"),
        (datasets.STATISTICS, b"{}", "application/json"),
    ):
        keep(db, objects, dataset, name, content, media_type, tenant=tenant)
        described.append({"path": name, "bytes": len(content), "sha256": sha256(content).hexdigest()})
    count = job["counts"]["total"]
    manifest = {"dataset": dataset, "complete": True, "count": count, "shards": listed, "files": described}
    keep(db, objects, dataset, datasets.MANIFEST, json.dumps(manifest).encode(), "application/json", tenant=tenant)
    with db.write() as connection:
        datasets.finish_dataset(connection, job["id"], DatasetReport.of({"candidates": 60} if info is None else info))
        end_job(connection, job["id"], "succeeded")
    return manifest


def end_job(connection: Any, job_id: str, state: str, **columns: Any) -> None:
    """Put a job's row into its last state."""
    row = update(tables.jobs).where(tables.jobs.c.id == job_id)
    connection.execute(
        row.values(state=state, started_at=tables.jobs.c.created_at, finished_at=tables.jobs.c.created_at)
    )
    if columns:
        connection.execute(row.values(**columns))
    record(connection, job_id, f"job.{state}")


def add_labeler(db: Database, objects: ObjectStore, generator_id: str) -> str:
    """A labeler with its inversion and one picture; the labeler's id."""
    with db.write() as connection:
        add_made(connection, TENANT, NewMade("label_set", "ls_1", "d1", {"images": 2, "classes": CLASSES}))
        parents = {"label_set_id": "ls_1", "generator_id": generator_id}
        add_made(connection, TENANT, NewMade("inversion", "inv_1", "d2", {"mean_psnr": 21.5}, parents))
        add_made(
            connection, TENANT, NewMade("labeler", "lab_1", "d3", {"miou": 0.8}, parents | {"inversion_id": "inv_1"})
        )
    keep(db, objects, "inv_1", "pictures/head_01.png", PICTURE, "image/png")
    keep(db, objects, "inv_1", "report.json", b"{}", "application/json")
    return "lab_1"


def add_photographs(db: Database, objects: ObjectStore, name: str = "photos") -> str:
    """An image set as its job leaves it; its id."""
    info = {
        "channels": 3, "classes": {"cat": 300, "dog": 400}, "held_out": 200, "fit": "crop", "flips": True,
        "flips_reason": "no name of a class has the word left or right", "unreadable": 1, "copies": 0,
        "warnings": ["files that cannot be read and are left out: 1; the report names them"],
    }  # fmt: skip
    with db.write() as connection:
        new = NewImageSet("ims_1", name, "d" * 64, 700, 16, 24, "CC BY 4.0", info)
        add_image_set(connection, TENANT, new)
    keep(db, objects, "ims_1", "contact_sheet.png", PICTURE, "image/png")
    keep(db, objects, "ims_1", "report.json", b'{"unreadable": [{"file": "a.png", "reason": "is truncated"}]}',
         "application/json")  # fmt: skip
    return "ims_1"


def add_encoder(db: Database, objects: ObjectStore, generator_id: str) -> str:
    """An encoder with its picture; its id."""
    report = {"by_iteration": {"samples": [{"iteration": 1, "psnr": 17.0}]}}
    with db.write() as connection:
        add_made(connection, TENANT, NewMade("encoder", "enc_1", "d4", report, {"generator_id": generator_id}))
    keep(db, objects, "enc_1", "attempts.png", PICTURE, "image/png")
    keep(db, objects, "enc_1", "encoder.safetensors", b"weights", "application/octet-stream")
    return "enc_1"


def add_trained_generator(db: Database, objects: ObjectStore, like: dict[str, Any], state: GeneratorState) -> str:
    """A generator as a training leaves it, or keeps it; its id. like: description of another."""
    facts = {
        "images_seen": 12_000, "seconds": 5400.0, "sizes": [[16, 16]], "returns": 1, "ended": "",
        "best": {"frechet": 1.25, "recall": 0.4, "images": 8000.0}, "image_set": {"name": "photos"},
        "warnings": ["recall 0.010; returned to 8000 images. To prevent it: double r1_gamma."],
    }  # fmt: skip
    new = NewGenerator("gen_1", "trained", "e" * 64, 16, 16, "CC BY 4.0", like | {TRAINED: facts}, state)
    with db.write() as connection:
        add_generator(connection, TENANT, new)
    for name in (SAMPLES, CURVES):
        keep(db, objects, "gen_1", name, PICTURE, "image/png")
    keep(db, objects, "gen_1", TRAINING, b'{"curves": []}', "application/json")
    return "gen_1"
