"""Codes in shards: equal rows stored once, every part and type read back as it was."""

import io

import numpy as np
import pytest
import torch

from core.datasets.code_files import code_arrays, code_files, read_code
from core.generators.interface import Codes, CodeSpec, PartSpec

ROWS = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_ten_equal_rows_are_stored_once():
    code = np.repeat(ROWS[:1], 10, 0)
    files = code_files({"w": code})
    assert list(files) == ["code.w.npy"]
    assert len(files["code.w.npy"]) == 128 + 4 * 512
    read = read_code(files, CodeSpec({"w": PartSpec((10, 512))}), None)
    assert np.array_equal(read.parts["w"][0].numpy(), code)


def test_rows_that_repeat_in_any_order_come_back():
    code = ROWS[[2, 0, 0, 2, 1, 0]]
    files = code_files({"w": code})
    assert sorted(files) == ["code.w.npy", "code.w.rows.npy"]
    assert sum(map(len, files.values())) < code.nbytes
    read = read_code(files, CodeSpec({"w": PartSpec((6, 512))}), None)
    assert np.array_equal(read.parts["w"][0].numpy(), code)


def test_a_short_code_stays_one_file_although_rows_repeat():
    tokens = np.array([[1, 2], [3, 4], [1, 2]], np.int16)
    files = code_files({"tokens": tokens})
    assert list(files) == ["code.tokens.npy"]
    assert np.array_equal(np.load(io.BytesIO(files["code.tokens.npy"])), tokens)


def test_parts_of_several_types_and_a_class():
    spec = CodeSpec({"z": PartSpec((5,)), "tokens": PartSpec((3, 5), "int16")}, classes=3, needs_class=True)
    codes = Codes({"z": torch.randn(1, 5), "tokens": torch.arange(15, dtype=torch.int16).view(1, 3, 5)})
    read = read_code(code_files(code_arrays(codes)), spec, 2)
    spec.check(read)
    assert all(torch.equal(read.parts[name], codes.parts[name]) for name in spec.parts)
    assert read.class_index.tolist() == [2]


def test_a_shard_of_the_first_release_names_its_only_part_latent():
    read = read_code({"latent.npy": npy(ROWS)}, CodeSpec({"w": PartSpec((3, 512))}), None)
    assert np.array_equal(read.parts["w"][0].numpy(), ROWS)


@pytest.mark.parametrize("files", [{}, {"code.w.npy": npy(ROWS[:2])}])
def test_a_missing_file_is_named(files):
    with pytest.raises(KeyError, match=r"code\.w"):
        read_code(files, CodeSpec({"w": PartSpec((6, 512))}), None)


def test_a_code_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="expected"):
        read_code({"code.w.npy": npy(ROWS[:1, :4])}, CodeSpec({"w": PartSpec((3, 512))}), None)
