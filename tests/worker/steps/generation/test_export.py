"""What an export refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.errors import LabelSetError
from store.database.database import Database
from store.objects import ObjectStore
from store.objects.verified import read
from store.resources.files import File, add_files
from worker.runtime.step_context import StepContext
from worker.steps.generation.export import export


def test_a_format_without_a_place_for_the_labels_is_refused(db: Database, objects: ObjectStore, tmp_path: Any) -> None:
    manifest = {"classes": [], "ignore_index": 255, "keypoints": ["nose"], "depth": None, "count": 0, "shards": []}
    card = (
        "---\nlicense: other\ntags:\n- webdataset\nconfigs:\n- config_name: default\n---\n# x\n\n## Reading it\n\nx\n"
    )
    for name, content in (("manifest.json", json.dumps(manifest)), ("README.md", card)):
        stored = objects.put(f"test/{name}", content.encode())
        with db.write() as connection:
            add_files(connection, "local", [File("ds_1", name, stored.key, stored.bytes, stored.sha256, "text/plain")])
    context = SimpleNamespace(
        request=lambda model: model(dataset="ds_1", format="voc"),
        db=db,
        objects=objects,
        tenant="local",
        folder=tmp_path,
        read=lambda file: read(objects, file),
        start=lambda name: objects.start(f"test/{name}"),
    )
    with pytest.raises(LabelSetError, match="cannot be exported like this"):
        export(cast(StepContext, context))
