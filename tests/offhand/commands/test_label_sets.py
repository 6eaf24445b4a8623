"""`offhand label-sets` against the real service: label sets listed and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from offhand.sdk.client import Client
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.artifacts import NewMade, add_made
from tests.api.worlds import PICTURE, TENANT, keep
from tests.offhand.conftest import Run

REPORT: dict[str, Any] = {
    "images": 2,
    "classes": [{"id": 0, "name": "background"}, {"id": 1, "name": "hat"}],
    "shares": {"0": {"pixels": 0.75, "images": 2}, "1": {"pixels": 0.25, "images": 1}},
    "detected_format": "coco",
    "notes": [{"text": "no area", "pointer": "labels.json"}],
}


def test_label_sets_are_listed_and_shown_with_the_name_of_their_job(
    run: Run, client: Client, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    before = len(json.loads(run("label-sets", "--json").stdout))
    with db.write() as connection:
        add_made(connection, TENANT, NewMade("label_set", "ls_1", "d1", REPORT), "faces of May")
    keep(db, objects, "ls_1", "preview.png", PICTURE, "image/png")
    listed, *earlier = json.loads(run("label-sets", "--json").stdout)
    assert len(earlier) == before
    assert (listed["name"], listed["info"]) == ("faces of May", REPORT), "the name is no part of what was read"
    assert client.label_sets.get("ls_1") == listed
    row = run("label-sets").stdout.splitlines()[1]
    assert [word.strip() for word in row.split("  ") if word][:5] == ["ls_1", "faces of May", "2", "2", "coco"]
    shown = run("label-sets", "show", "ls_1")
    assert "  1 hat                  1 images, 25.0% of the pixels" in shown.stdout
    assert "  note  labels.json no area" in shown.stdout
    assert run("label-sets", "notes", "ls_1").stdout == "labels.json no area\n"
    assert run("label-sets", "preview", "ls_1", "--out", str(tmp_path / "labels.png")).exit_code == 0
    assert (tmp_path / "labels.png").read_bytes() == PICTURE
    unwritable = run("label-sets", "preview", "ls_1", "--out", str(tmp_path / "none" / "labels.png"))
    assert (unwritable.exit_code, "No such file" in unwritable.stderr) == (1, True)
    assert run("label-sets", "show", "ls_2").exit_code == 4
