"""``hf``: parquet files as the ``datasets`` library of Hugging Face reads them, pictures inside."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.datasets.samples import IMAGE, MASK, StoredSample
from core.formats.facts import ExportFacts, Part, stem
from core.formats.package import Package

#: Rows are written out when their pictures take this much, and a file is closed when it has this much.
GROUP_BYTES, FILE_BYTES = 32 << 20, 500 << 20
#: What the ``datasets`` library calls each part.
HF_NAMES: dict[Part, str] = {"train": "train", "val": "validation"}
_NUMBERS = pa.list_(pa.list_(pa.float32()))
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def export_hf(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``data/train-*.parquet`` with ``index``, ``image``, ``uncertainty`` and a column or two for each task; with a
    split, ``data/validation-*.parquet`` beside it.

    ``mask`` decodes to a palette picture whose values are class ids (``numpy.array(row["mask"])``). ``classes`` are
    the ids that the mask shows, a list of ``ClassLabel``, whose names are those of all classes
    (``dataset.features["classes"].feature.names[id]``; ``classes.json`` holds them too). ``keypoints`` are [K, 3]: x,
    y, visibility, named by ``keypoints.json``; ``depth`` is [H, W] in the unit of ``depth.json``, 0 where there is
    none.
    """
    documents = {
        "classes.json": facts.classes.to_json() if facts.classes.names else None,
        "keypoints.json": {"keypoints": facts.keypoints.to_json()} if facts.keypoints else None,
        "depth.json": {"unit": facts.depth.unit} if facts.depth else None,
    }
    for name, document in documents.items():
        if document:
            package.add(name, json.dumps(document, indent=1, ensure_ascii=False).encode())
    columns = schema(facts)
    files = {part: _Files(package, scratch, HF_NAMES[part], columns) for part in facts.parts}
    for part, sample in facts.parted(samples):
        files[part].add(_row(sample, facts))
    for part in facts.parts:
        files[part].close()


def schema(facts: ExportFacts) -> pa.Schema:
    """Return the columns, and the same again as features of the ``datasets`` library."""
    numbers = {"_type": "List", "feature": {"_type": "List", "feature": {"dtype": "float32", "_type": "Value"}}}
    columns: dict[str, tuple[Any, dict[str, Any]]] = {
        "index": (pa.int64(), {"dtype": "int64", "_type": "Value"}),
        "image": (_PICTURE, {"_type": "Image"}),
        "uncertainty": (pa.float64(), {"dtype": "float64", "_type": "Value"}),
    }
    if "segmentation" in facts.tasks:
        columns["mask"] = (_PICTURE, {"_type": "Image"})
        label = {"_type": "ClassLabel", "names": facts.names_without_gaps()}
        columns["classes"] = (pa.list_(pa.int64()), {"_type": "List", "feature": label})
    for task in ("keypoints", "depth"):
        if task in facts.tasks:
            columns[task] = (_NUMBERS, numbers)
    told = json.dumps({"info": {"features": {name: feature for name, (_, feature) in columns.items()}}})
    return pa.schema([(name, kind) for name, (kind, _) in columns.items()], metadata={"huggingface": told})


def _row(sample: StoredSample, facts: ExportFacts) -> dict[str, Any]:
    name = f"{stem(sample.index)}.png"
    row: dict[str, Any] = {
        "index": sample.index,
        "image": {"bytes": sample.file(IMAGE), "path": name},
        "uncertainty": float(sample.record()["uncertainty"]),
    }
    if "segmentation" in facts.tasks:
        row["mask"] = {"bytes": sample.file(MASK), "path": name}
        row["classes"] = sorted(set(np.unique(sample.mask()).tolist()) & set(facts.classes.ids))
    if "keypoints" in facts.tasks and (points := sample.keypoints()) is not None:
        row["keypoints"] = points[:, :3].tolist()
    if "depth" in facts.tasks and (depth := sample.depth()) is not None:
        row["depth"] = list(depth)
    return row


class _Files:
    """Rows of one part gathered to groups, groups to files, one file on disk at a time."""

    def __init__(self, package: Package, scratch: Path, part: str, schema: pa.Schema) -> None:
        self._package, self._path, self._schema = package, scratch / f"{part}.parquet", schema
        self._part = part
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._waiting = self._written = self._number = 0

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._waiting += sum(len(row[name]["bytes"]) for name in ("image", "mask") if name in row)
        self._waiting += sum(line.nbytes for line in row.get("depth", ()))
        if self._waiting >= GROUP_BYTES:
            self._write_group()
        if self._written >= FILE_BYTES:
            self._end_file()

    def close(self) -> None:
        if self._rows or not self._number:
            self._write_group()
        if self._writer is not None:
            self._end_file()

    def _write_group(self) -> None:
        if self._writer is None:
            # PNG does not get smaller.
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="none", use_dictionary=False)
        self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._written += self._waiting
        self._rows, self._waiting = [], 0

    def _end_file(self) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        self._package.add_file(f"data/{self._part}-{self._number:05d}.parquet", self._path)
        self._path.unlink()
        self._number += 1
        self._written = 0
