"""The shipped archive is what its recipe makes, and passes the product's own door."""

import zipfile

import numpy as np

from core.label_sets.reading.reader import read_label_set
from testbed.examples import ARCHIVE, EXAMPLE_SEED, labelled_heads, write_archive
from testbed.world import CLASS_NAMES


def test_the_shipped_archive_holds_the_recipes_heads(tmp_path):
    heads = labelled_heads(EXAMPLE_SEED, 50)
    labels = read_label_set(ARCHIVE, tmp_path / "read")
    assert [labels.classes.name(i) for i in range(len(CLASS_NAMES))] == list(CLASS_NAMES)
    assert np.array_equal(np.stack([item.mask for item in labels.items]), heads.masks)
    # Another processor may round a colour the other way.
    assert np.abs(np.stack([item.image for item in labels.items]).astype(int) - heads.images).max() <= 1


def test_equal_heads_give_equal_bytes(tmp_path):
    heads = labelled_heads(EXAMPLE_SEED, 2)
    for name in ("a.zip", "b.zip"):
        write_archive(tmp_path / name, heads)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None
