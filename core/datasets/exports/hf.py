"""``hf``: parquet files as the ``datasets`` library of Hugging Face reads them, pictures inside."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.datasets.exports.facts import ExportFacts, stem
from core.datasets.exports.package import Package
from core.datasets.samples import IMAGE, MASK, StoredSample

#: Rows are written out when their pictures take this much, and a file is closed when it has this much.
GROUP_BYTES, FILE_BYTES = 32 << 20, 500 << 20
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def export_hf(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``data/train-*.parquet`` with ``image``, ``mask``, ``index``, ``uncertainty``, and ``classes.json``.

    ``mask`` decodes to a palette picture whose values are class ids (``numpy.array(row["mask"])``).
    """
    package.add("classes.json", json.dumps(facts.classes.to_json(), indent=1, ensure_ascii=False).encode())
    files = _Files(package, scratch)
    for sample in samples:
        files.add(_row(sample))
    files.close()


def schema() -> pa.Schema:
    """The columns, and the same again in the words of the ``datasets`` library."""
    features = {
        "index": {"dtype": "int64", "_type": "Value"},
        "image": {"_type": "Image"},
        "mask": {"_type": "Image"},
        "uncertainty": {"dtype": "float64", "_type": "Value"},
    }
    columns = [("index", pa.int64()), ("image", _PICTURE), ("mask", _PICTURE), ("uncertainty", pa.float64())]
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _row(sample: StoredSample) -> dict[str, Any]:
    name = f"{stem(sample.index)}.png"
    return {
        "index": sample.index,
        "image": {"bytes": sample.file(IMAGE), "path": name},
        "mask": {"bytes": sample.file(MASK), "path": name},
        "uncertainty": float(sample.record()["uncertainty"]),
    }


class _Files:
    """Rows gathered to groups, groups to files, one file on disk at a time."""

    def __init__(self, package: Package, scratch: Path) -> None:
        self._package, self._path = package, scratch / "part.parquet"
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._waiting = self._written = self._number = 0

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._waiting += len(row["image"]["bytes"]) + len(row["mask"]["bytes"])
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
            self._writer = pq.ParquetWriter(self._path, schema(), compression="none", use_dictionary=False)
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema()))
        self._written += self._waiting
        self._rows, self._waiting = [], 0

    def _end_file(self) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        self._package.add_file(f"data/train-{self._number:05d}.parquet", self._path)
        self._path.unlink()
        self._number += 1
        self._written = 0
