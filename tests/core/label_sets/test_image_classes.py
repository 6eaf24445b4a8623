"""Classes of whole images in an archive: `image_classes.csv`."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import LabelSetError
from core.label_sets.flip import mirrored
from core.label_sets.image_classes import parse_image_classes
from core.label_sets.label_set import LabelSet
from core.label_sets.reading.reader import read_label_set
from core.label_sets.resize import resize_to
from core.label_sets.storage import load_label_set, save_label_set


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def read(folder: Path, table: str | None) -> LabelSet:
    path = folder / "labels.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a", "b"):
            archive.writestr(f"images/{name}.png", png(np.full((8, 8, 3), 7, np.uint8)))
            mask = np.zeros((8, 8), np.uint8)
            mask[:4] = 1
            archive.writestr(f"masks/{name}.png", png(mask))
        archive.writestr("classes.json", json.dumps(["ground", "thing"]))
        if table is not None:
            archive.writestr("image_classes.csv", table)
    (folder / "work").mkdir(exist_ok=True)
    return read_label_set(path, folder / "work")


def test_classes_are_read_kept_and_part_of_the_digest(tmp_path: Path) -> None:
    labels = read(tmp_path, "image,class\nimages/a.png,golden retriever\nb.png,12\n")
    assert [item.image_class for item in labels.items] == ["golden retriever", 12]
    for changed in (mirrored(labels), resize_to(labels, 16, 16)):
        assert [item.image_class for item in changed.items] == ["golden retriever", 12]
    save_label_set(labels, tmp_path / "stored")
    loaded = load_label_set(tmp_path / "stored")
    assert [item.image_class for item in loaded.items] == ["golden retriever", 12]
    assert loaded.digest == labels.digest != read(tmp_path, None).digest


def test_a_table_of_samples_may_name_more_images_and_its_indices_are_read(tmp_path: Path) -> None:
    labels = read(tmp_path, "image,class_index,class\na.png,3,bee\nunlabelled.png,4,wasp\n")
    assert [item.image_class for item in labels.items] == [3, None]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("name,kind\na.png,1\n", "expected a header"),
        ("image,class\na.png,\n", "line 2 has no class"),
        ("image,class\na.png,1\na.png,2\n", "line 3 names the image"),
        ("", "expected a header"),
    ],
)
def test_broken_tables_are_refused_by_line(table: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(LabelSetError, match=words):
        read(tmp_path, table)
    with pytest.raises(LabelSetError, match="UTF-8"):
        parse_image_classes(b"\xff\xfe\x00")
