"""The benchmark trains the same networks both ways: in float32 the first losses agree."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.gan_training import LOSSES, WAYS, main, measure


def test_both_ways_compute_the_same_losses() -> None:
    given = Namespace(resolution=16, batch=4, steps=1, precision="float32")
    plain, ours = (measure(way, given) for way in WAYS)
    assert set(plain["losses"]) == set(LOSSES)
    assert ours["losses"] == pytest.approx(plain["losses"], rel=1e-3)
    for row in (plain, ours):
        assert row["images_per_second"] > 0
        assert row["processor_seconds_per_image"] > 0
        assert row["peak_gib"] > 0


@pytest.mark.slow
def test_numbers_are_written(tmp_path: Path) -> None:
    main(["--resolution=16", "--batch=4", "--steps=1", "--rounds=1", f"--json={tmp_path / 'numbers.json'}"])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["speedup"] == pytest.approx(
        numbers["ours"]["images_per_second"] / numbers["plain"]["images_per_second"]
    )
