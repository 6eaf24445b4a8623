"""Shards: equal bytes for equal samples, readable by everybody else's readers, and nothing lost on the way."""

import hashlib
import io
import tarfile
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.callbacks import Stopped
from core.datasets.manifest import build_manifest, manifest_bytes
from core.datasets.samples import UNCERTAINTY, encode_sample
from core.datasets.shards import ShardWriter, pack, read_shard
from core.datasets.statistics import DatasetStatistics
from core.errors import ShardError
from core.generators.interface import CodeSpec, PartSpec
from core.label_sets.classes import ClassMap
from core.label_sets.palette import colours
from core.label_sets.reading.tar_reader import file_header
from tests.core.datasets.archives import mask, photograph

SPEC = CodeSpec({"code": PartSpec((4, 8))})
CLASSES = ClassMap({0: "background", 1: "head", 4: "hat"})


def latent(index):
    return np.random.default_rng(index).normal(size=(4, 8)).astype(np.float32)


def divergence(index, height=12, width=16):
    return np.random.default_rng(index).uniform(0, 2.3, (height, width)).astype(np.float32)


def sample(index, **record):
    record = {"index": index, "seed": 7, "truncation_psi": 0.7, "uncertainty": index / 10, **record}
    return encode_sample(photograph(index), mask(index), latent(index), record, colours(CLASSES), divergence(index))


def shard(indices):
    stream = io.BytesIO()
    writer = ShardWriter(stream, "a.tar")
    for index in indices:
        writer.write(index, sample(index))
    return stream.getvalue(), writer.finish(), stream


def test_entry_says_what_was_written():
    _, entry, stream = shard(range(3))
    content = stream.getvalue()
    assert (entry.path, entry.items, entry.bytes) == ("a.tar", 3, len(content))
    assert entry.sha256 == hashlib.sha256(content).hexdigest()


def test_two_writes_give_equal_bytes():
    assert shard(range(3))[2].getvalue() == shard(range(3))[2].getvalue()


def test_round_trip():
    stream = shard([3, 17])[2]
    stream.seek(0)
    samples = list(read_shard(stream))
    assert [one.index for one in samples] == [3, 17]
    for one in samples:
        assert np.array_equal(one.image(), photograph(one.index))
        assert np.array_equal(one.mask(), mask(one.index))
        assert np.array_equal(one.code(SPEC).parts["code"][0].numpy(), latent(one.index))
        assert np.abs(one.divergence() - divergence(one.index)).max() <= 0.5001e-4
        counts = np.bincount(mask(one.index).ravel())
        assert one.record() == {
            "index": one.index, "seed": 7, "truncation_psi": 0.7, "uncertainty": one.index / 10,
            "pixels": {str(key): int(counts[key]) for key in (0, 1, 4)},
        }  # fmt: skip


@given(st.from_regex(r"[0-9a-z._-]{1,100}", fullmatch=True), st.integers(0, 2**33 - 1))
def test_headers_are_those_of_the_standard_library(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    assert file_header(name, size) == info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def test_python_tarfile_reads_it():
    stream = shard([0, 1])[2]
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        members = archive.getmembers()
        suffixes = ["image.png", "mask.png", "json", "code.code.npy", "uncertainty.png"]
        assert [one.name for one in members] == [f"{key:09d}.{suffix}" for key in (0, 1) for suffix in suffixes]
        assert {(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one in members} == {
            (0, 0, 0, "", "", 0o644)
        }
        for name, wanted in (("000000001.image.png", photograph(1)), ("000000001.mask.png", mask(1))):
            assert np.array_equal(np.array(Image.open(archive.extractfile(name))), wanted)
        palette = Image.open(archive.extractfile("000000000.mask.png"))
        assert palette.mode == "P"
        assert np.array_equal(np.array(palette.getpalette()).reshape(-1, 3), colours(CLASSES))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_webdataset_reads_it(tmp_path):
    (tmp_path / "a.tar").write_bytes(shard([5, 6])[2].getvalue())
    read = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False, empty_check=False).decode("pil"))
    assert [one["__key__"] for one in read] == ["000000005", "000000006"]
    for index, one in zip((5, 6), read, strict=True):
        assert np.array_equal(np.array(one["image.png"].convert("RGB")), photograph(index))
        assert np.array_equal(one["code.code.npy"], latent(index))
        assert one["json"]["index"] == index
    raw = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False, empty_check=False))
    for index, one in zip((5, 6), raw, strict=True):
        assert np.array_equal(np.array(Image.open(io.BytesIO(one["mask.png"]))), mask(index))


def test_divergence_reaches_the_largest_possible():
    files = encode_sample(
        photograph(),
        mask(),
        latent(0),
        {"uncertainty": 0},
        colours(CLASSES),
        np.full((12, 16), np.log(256), np.float32),
    )
    writer = ShardWriter(stream := io.BytesIO())
    writer.write(0, files)
    writer.finish()
    stream.seek(0)
    assert next(iter(read_shard(stream))).divergence().max() == pytest.approx(np.log(256), abs=1e-4)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_truncated_shard(kept):
    content = shard(range(4))[2].getvalue()
    with pytest.raises(ShardError, match="truncated") as caught:
        list(read_shard(io.BytesIO(content[: int(kept * len(content))]), "shards/a.tar"))
    assert caught.value.problems[0].pointer == "shards/a.tar"


def test_foreign_and_damaged_shards():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("photo.png"))
    with pytest.raises(ShardError, match="not part of a sample"):
        list(read_shard(io.BytesIO(stream.getvalue())))
    with pytest.raises(ShardError):
        list(read_shard(io.BytesIO(b"hello")))
    writer = ShardWriter(stream := io.BytesIO())
    writer.write(0, {"json": b"[", "image.png": b"png", "code.code.npy": b"x"})
    writer.finish()
    spoilt = next(iter(read_shard(io.BytesIO(stream.getvalue()))))
    for decode in (spoilt.record, spoilt.image, spoilt.mask, lambda: spoilt.code(SPEC)):
        with pytest.raises(ShardError, match="000000000"):
            decode()
    assert spoilt.divergence() is None


# Packing


class Shelf:
    """Final shards in memory."""

    def __init__(self):
        self.shards = {}

    @contextmanager
    def open(self, path):
        stream = io.BytesIO()
        yield stream
        self.shards[path] = stream.getvalue()


def candidates(*ranges):
    for indices in ranges:
        stream = shard(indices)[2]
        stream.seek(0)
        yield from read_shard(stream)


def test_pack_keeps_what_it_is_told():
    shelf, statistics, seen = Shelf(), DatasetStatistics(), []

    def look(one):
        statistics.add(one.record())
        seen.append(one.divergence() is not None)

    keep = [0, 2, 3, 5, 8, 9, 11]
    entries = list(pack(candidates(range(6), range(6, 12)), iter(keep), 3, shelf.open, on_sample=look))
    assert [entry.path for entry in entries] == [f"shards/shard-{number:06d}.tar" for number in range(3)]
    assert [entry.items for entry in entries] == [3, 3, 1]
    read = [one for entry in entries for one in read_shard(io.BytesIO(shelf.shards[entry.path]))]
    assert [one.index for one in read] == keep
    assert all(UNCERTAINTY not in one.files for one in read)
    assert all(np.array_equal(one.mask(), mask(one.index)) for one in read)
    for entry in entries:
        assert hashlib.sha256(shelf.shards[entry.path]).hexdigest() == entry.sha256
    assert seen == [True] * 7
    assert (statistics.count, statistics.images[4]) == (7, 7)


def test_pack_does_not_depend_on_how_candidates_were_cut():
    one, other = Shelf(), Shelf()
    first = list(pack(candidates(range(8)), [1, 4, 7], 2, one.open, leave_out=frozenset()))
    second = list(pack(candidates(range(4), range(4, 8)), [1, 4, 7], 2, other.open, leave_out=frozenset()))
    assert (first, one.shards) == (second, other.shards)


def test_pack_of_everything_in_full_shards_and_of_nothing():
    shelf = Shelf()
    assert [entry.items for entry in pack(candidates(range(6)), range(6), 3, shelf.open)] == [3, 3]
    assert list(pack(candidates(range(6)), [], 3, shelf.open)) == []


@pytest.mark.parametrize("keep", [[2], [0, 6], [9]])
def test_pack_misses_a_sample(keep):
    with pytest.raises(ShardError, match="lack a sample"):
        list(pack(candidates([0, 1], [3, 4, 5]), keep, 3, Shelf().open))


def test_pack_stops():
    with pytest.raises(Stopped):
        list(pack(candidates(range(3)), range(3), 3, Shelf().open, should_stop=lambda: True))


def test_memory_does_not_grow_with_the_dataset():
    one = next(candidates([0]))

    def peak(count):
        @contextmanager
        def nowhere(_path):
            with open("/dev/null", "wb") as target:
                yield target

        samples = (type(one)(index, one.files) for index in range(count))
        tracemalloc.start()
        total = sum(entry.items for entry in pack(samples, iter(range(count)), 50, nowhere))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == count
        return most

    peak(10)
    assert peak(2000) < peak(100) + 20_000


# Manifest and statistics


def test_manifest():
    entries = [shard(range(3))[1], shard(range(3, 5))[1]]
    manifest = build_manifest(
        "ds_1", entries, CLASSES, complete=True, settings={"seed": 7}, digests={"generator": "ab"},
        files=[{"path": "README.md", "bytes": 3, "sha256": "cd"}],
    )  # fmt: skip
    assert manifest["count"] == 5
    assert manifest["bytes"] == sum(entry.bytes for entry in entries)
    assert manifest["classes"][2] == {"id": 4, "name": "hat"}
    assert manifest["shards"][0] == entries[0].to_json()
    assert manifest_bytes(manifest) == manifest_bytes(dict(reversed(manifest.items())))


def test_statistics():
    statistics = DatasetStatistics()
    for score, pixels in ((0.0, {"0": 5}), (1.0, {"0": 3, "1": 2}), (9.9, {"0": 5})):
        statistics.add({"uncertainty": score, "pixels": pixels})
    document = statistics.to_json()
    assert document["pixels"] == {"0": 13, "1": 2}
    assert document["images"] == {"0": 3, "1": 1}
    assert document["uncertainty"]["histogram"] == {"0": 1, "7": 1}
    assert (document["uncertainty"]["zeros"], document["uncertainty"]["max"]) == (1, 9.9)
    assert DatasetStatistics().to_json() == {"count": 0, "pixels": {}, "images": {}}
