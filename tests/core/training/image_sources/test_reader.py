"""Photographs from folders, archives, WebDataset and parquet: classes, licences, refusals, bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import ImageSetError, Stopped
from core.training.image_sources.class_folders import class_of_name
from core.training.image_sources.files import open_files
from core.training.image_sources.licences import licence_of
from core.training.image_sources.reader import read_photographs
from core.training.image_sources.webdataset import is_webdataset
from tests.core.training.test_images import encoded, picture

PICTURES = [encoded(picture(index, 8, 8)) for index in range(4)]
Write = Callable[[Path, dict[str, bytes]], Path]


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar_bytes(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(tar_bytes(files))
    return path


def write_tar_gz(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(gzip.compress(tar_bytes(files)))
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def read(path: Path, tmp_path: Path, **options: Any) -> list[tuple[str, str | None, bytes]]:
    return [
        (one.name, one.class_name, one.content) for one in read_photographs(path, tmp_path / "one", **options).images
    ]


@pytest.mark.parametrize("write", [write_zip, write_tar, write_tar_gz, write_folder])
def test_a_folder_of_each_class_gives_the_classes(write: Write, tmp_path: Path) -> None:
    files = {
        "set/README.md": b"---\nlicense: cc-by-4.0\n---\n# Cats",
        "set/cat/a.png": PICTURES[0],
        "set/cat/deep/b.JPG": PICTURES[1],
        "set/dog/c.png": PICTURES[2],
        "set/dog/notes.txt": b"none",
        "set/.DS_Store": b"x",
    }
    path = write(tmp_path / "source", files)
    found = read_photographs(path, tmp_path / "one")
    assert (found.format, found.licence, found.total) == ("folders", "cc-by-4.0", 3)
    assert [(one.name, one.class_name, one.content) for one in found.images] == [
        ("set/cat/a.png", "cat", PICTURES[0]),
        ("set/cat/deep/b.JPG", "cat", PICTURES[1]),
        ("set/dog/c.png", "dog", PICTURES[2]),
    ]
    assert {name for _, name, _ in read(path, tmp_path, classes=False)} == {None}
    assert not (tmp_path / "one").exists() or list((tmp_path / "one").iterdir()) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "b.png"], [None, None]),
        (["photos/a.png", "photos/b.png"], [None, None]),
        (["x/photos/a.png", "x/photos/b.png"], [None, None]),
        (["train/cat/a.png", "val/dog/b.png", "val/cat/c.png"], ["cat", "dog", "cat"]),
        (["train/a.png", "test/b.png"], [None, None]),
        (["s/cat/images/a.png", "s/dog/images/b.png"], ["cat", "dog"]),
        (["s/cat/a.png", "s/dog/b.png", "s/c.png"], ["cat", "dog", None]),
    ],
)
def test_the_first_folder_that_differs_is_the_class(names: list[str], expected: list[str | None]) -> None:
    rule = class_of_name(names)
    assert [rule(name) for name in names] == expected


def test_webdataset_classes_come_from_cls_json_or_txt(tmp_path: Path) -> None:
    files = {
        "000.jpg": PICTURES[0], "000.cls": b"7\n", "000.json": b'{"label": "unused"}',
        "001.json": json.dumps({"caption": "x", "class_name": "dog"}).encode(), "001.jpg": PICTURES[1],
        "002.png": PICTURES[2], "002.txt": b"cat",
        "003.png": PICTURES[3], "003.txt": b"a caption\nof two lines", "003.json": b"{broken",
    }  # fmt: skip
    found = read_photographs(write_tar(tmp_path / "0.tar", files), tmp_path / "one")
    assert (found.format, found.total) == ("webdataset", 4)
    assert [(one.name, one.class_name) for one in found.images] == [
        ("000.jpg", "7"),
        ("001.jpg", "dog"),
        ("002.png", "cat"),
        ("003.png", None),
    ]
    assert not is_webdataset(["a.png", "b.png", "c.png", "c.txt", "notes.json"])


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_shards_of_a_webdataset_are_read_from_one_folder(write: Write, tmp_path: Path) -> None:
    shards = {
        f"train-{number}.tar": tar_bytes({"0.png": PICTURES[number], "0.cls": b"%d" % number}) for number in (0, 1)
    }
    found = read(write(tmp_path / "source", shards), tmp_path)
    assert found == [("train-0.tar/0.png", "0", PICTURES[0]), ("train-1.tar/0.png", "1", PICTURES[1])]
    deeper = write(tmp_path / "deeper", {"a.tar": tar_bytes({"b.tar": tar_bytes({"0.png": PICTURES[0]})})})
    with pytest.raises(ImageSetError, match="an archive inside the archive"):
        read(deeper, tmp_path)


def table(labels: Any, metadata: dict[str, Any] | None = None) -> pa.Table:
    images = [{"bytes": content, "path": f"{index}.png"} for index, content in enumerate(PICTURES)]
    found = pa.table({"image": images, "label": labels, "note": ["x"] * 4})
    described = None if metadata is None else {b"huggingface": json.dumps({"info": {"features": metadata}}).encode()}
    return found.replace_schema_metadata(described)


def test_parquet_of_the_hub_has_images_and_named_classes(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    path = tmp_path / "train.parquet"
    pq.write_table(table([1, 0, -1, 1], features), path, row_group_size=2)
    expected = [
        ("train.parquet#0 0.png", "dog", PICTURES[0]),
        ("train.parquet#1 1.png", "cat", PICTURES[1]),
        ("train.parquet#2 2.png", None, PICTURES[2]),
        ("train.parquet#3 3.png", "dog", PICTURES[3]),
    ]
    assert read(path, tmp_path) == expected
    packed = write_zip(tmp_path / "hub.zip", {"data/train.parquet": path.read_bytes(), "README.md": b"no word"})
    assert [name for _, name, _ in read(packed, tmp_path)] == ["dog", "cat", None, "dog"]


def test_parquet_without_metadata_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    pq.write_table(table(["a", "b", "a", "b"]), tmp_path / "t.parquet")
    assert [name for _, name, _ in read(tmp_path / "t.parquet", tmp_path)] == ["a", "b", "a", "b"]
    pq.write_table(pa.table({"img": PICTURES, "fine_label": [3, 1, 2, 3]}), tmp_path / "t.parquet")
    assert [(name, content) for _, name, content in read(tmp_path / "t.parquet", tmp_path)] == list(
        zip(["3", "1", "2", "3"], PICTURES, strict=True)
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": ["a"]}, "expected a column of image bytes, found text"),
        ({"image": [{"bytes": None, "path": "/elsewhere/a.png"}]}, "is named and not in the file"),
    ],
)
def test_parquet_without_images_is_refused(columns: dict[str, Any], expected: str, tmp_path: Path) -> None:
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    pq.write_table(pa.table(columns, schema=schema if "image" in columns else None), tmp_path / "t.parquet")
    with pytest.raises(ImageSetError, match=expected):
        read(tmp_path / "t.parquet", tmp_path)


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(table([0, 1, 0, 1]), path)
    content = path.read_bytes()
    for wrong in (content[:-40], content[:4] + bytes(len(content) - 8) + content[-4:], b"PAR1"):
        path.write_bytes(wrong)
        with pytest.raises(ImageSetError, match=r"t\.parquet"):
            read(path, tmp_path)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"notes.txt": b"x"}, "found none among 1 files"),
        ({"a.png": PICTURES[0], "t.parquet": b"x"}, "send one of both"),
        ({"../a.png": PICTURES[0]}, "leaves the archive"),
        ({"/a.png": PICTURES[0]}, "an absolute path"),
        ({"a.png": PICTURES[0], "A.png": PICTURES[0]}, "differs only by case"),
    ],
)
def test_archives_are_refused_before_any_image_is_read(files: dict[str, bytes], expected: str, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=expected):
        read_photographs(write_tar(tmp_path / "a.tar", files), tmp_path / "one")


def test_a_truncated_archive_and_no_archive_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.png": PICTURES[0], "b.png": PICTURES[1]})
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ImageSetError, match="truncated"):
        read(path, tmp_path)
    path.write_bytes(b"no archive")
    with pytest.raises(ImageSetError, match="neither a zip nor a tar"):
        read(path, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageSetError, match="holds no file"):
        read(tmp_path / "empty", tmp_path)


def test_one_temporary_file_is_there_at_a_time(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{index}.png": PICTURES[index] for index in range(4)})
    files = open_files(path, tmp_path / "one")
    for _ in files.each():
        assert len(list((tmp_path / "one").iterdir())) == 1


def test_reading_stops_on_request(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": PICTURES[0]})
    with pytest.raises(Stopped):
        read_photographs(path, tmp_path / "one", should_stop=lambda: True)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": b"# Set\n\nMany words.\n\nThe licence is CC0.\n\nMore."}, "The licence is CC0."),
        ({"README.md": b"Nothing"}, ""),
        ({"README.md": b"licence: see elsewhere", "a/LICENSE": b"MIT\n"}, "MIT"),
        ({"LICENSE": b"top", "a/LICENSE": b"below"}, "top"),
        ({}, ""),
    ],
)
def test_the_licence_is_that_of_a_file_beside_the_images(files: dict[str, bytes], expected: str) -> None:
    assert licence_of(files) == expected
