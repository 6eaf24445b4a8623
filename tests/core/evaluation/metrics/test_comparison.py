"""All distances at once: what a result names, what is refused, what is absent and why, memory."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import EvaluationError, Stopped
from core.evaluation.metrics.comparison import MetricSettings, compare_images
from core.evaluation.metrics.distribution import KidSettings, frechet_distance, kernel_distance, manifold_scores
from core.evaluation.metrics.features import FeatureSet, FeatureSpace
from core.run import Run

SPACE = FeatureSpace("inception", "ab" * 32, "tf_bilinear", 4)


def features(count: int, seed: int, space: FeatureSpace = SPACE, **more) -> FeatureSet:
    rows = np.random.default_rng(seed).standard_normal((count, space.dimensions)).astype(np.float32)
    return FeatureSet(space, rows, **more)


def test_result_has_the_values_of_each_measure_and_names_what_they_depend_on() -> None:
    real, generated = features(60, 0), features(50, 1)
    settings = MetricSettings(neighbours=3, kid_subsets=4, kid_subset_size=20)
    found = compare_images(real, generated, settings, Run(seed=9))
    assert found.fid == frechet_distance(real.rows, generated.rows)
    assert (found.kid, found.kid_std) == kernel_distance(real.rows, generated.rows, KidSettings(4, 20, seed=9))
    assert found.manifold == manifold_scores(real.rows, generated.rows, 3)
    assert found.spec.to_json() == {
        "extractor": "inception", "digest": "ab" * 32, "resize": "tf_bilinear", "dimensions": 4, "standardized": False,
        "neighbours": 3, "kid_subsets": 4, "kid_subset_size": 20, "least_in_class": 2, "real": 60, "generated": 50,
        "seed": 9,
    }  # fmt: skip
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["recall"] == found.manifold.recall


@pytest.mark.parametrize(
    "other",
    [replace(SPACE, extractor="clip"), replace(SPACE, digest="cd" * 32), replace(SPACE, resize="clean")],
    ids=["extractor", "weights", "resize rule"],
)
def test_features_of_another_extractor_weights_or_resize_rule_are_refused(other: FeatureSpace) -> None:
    with pytest.raises(EvaluationError) as caught:
        compare_images(features(20, 0), features(20, 1, other))
    (problem,) = caught.value.problems
    assert getattr(SPACE, problem.pointer) in problem.detail
    assert getattr(other, problem.pointer) in problem.detail


def test_classes_are_matched_by_name_and_those_of_too_few_images_are_named() -> None:
    real = features(40, 0, class_index=np.arange(40) % 2, classes=("cat", "dog"))
    index = np.r_[np.zeros(1, np.int64), np.ones(29, np.int64), np.full(10, 2)]
    generated = features(40, 1, class_index=index, classes=("dog", "cat", "emu"))
    found = compare_images(real, generated)
    cat, dog, emu = found.by_class
    assert cat.fid == pytest.approx(frechet_distance(real.rows[::2], generated.rows[1:30]))
    assert (dog.name, dog.generated, dog.fid, emu.real, emu.fid) == ("dog", 1, None, 0, None)
    assert found.notes[-1].endswith("no distances: dog (20 real, 1 generated), emu (0 real, 10 generated).")
    assert found.to_json()["class_fid_mean"] == cat.fid


def test_too_few_images_leave_out_values_and_the_reason_is_given() -> None:
    one = compare_images(features(1, 0), features(30, 1))
    assert (one.fid, one.kid, one.manifold) == (None, None, None)
    assert one.notes == ("No distances: 1 real and 30 generated images; at least 2 on each side are needed.",)
    few = compare_images(features(5, 0), features(30, 1))
    assert few.fid is not None
    assert few.manifold is None
    assert "at least 6" in few.notes[0]
    assert any("subsets of 5 images" in note for note in few.notes)
    fewer_than_features = compare_images(features(4, 0), features(30, 1))
    assert any("depends on these numbers" in note for note in fewer_than_features.notes)


def test_standardized_features_do_not_depend_on_scale_and_origin_of_the_network() -> None:
    space = replace(SPACE, standardized=True)
    real, generated = features(40, 0, space), features(50, 1, space)
    found = compare_images(real, generated)
    other = compare_images(*(replace(side, rows=70 * side.rows + 300) for side in (real, generated)))
    assert (other.fid, other.kid) == pytest.approx((found.fid, found.kid), rel=1e-3)
    alone = compare_images(features(40, 0), features(50, 1))
    assert found.fid == pytest.approx(alone.fid / real.rows.var(0).mean(), rel=1e-5)


def test_feature_that_is_constant_over_the_real_images_does_not_dominate() -> None:
    space = replace(SPACE, standardized=True)
    real, generated = features(40, 0, space), features(50, 1, space)
    before = compare_images(real, generated).fid
    real.rows[:, 3], generated.rows[:, 3] = 0, 0
    generated.rows[0, 3] = 1
    assert compare_images(real, generated).fid < 2 * before


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(EvaluationError) as caught:
        MetricSettings(neighbours=0, least_in_class=1)
    assert [one.pointer for one in caught.value.problems] == ["neighbours", "least_in_class"]


def test_comparison_stops_when_asked() -> None:
    with pytest.raises(Stopped):
        compare_images(features(20, 0), features(20, 1), run=Run(should_stop=lambda: True))


def _peak_growth(count: int, width: int, folder: Path) -> int:
    """Bytes by which all measures raise the peak memory of a fresh process."""
    script = f"""
import resource, numpy as np
from pathlib import Path
from core.evaluation.metrics.comparison import MetricSettings, compare_images
from core.evaluation.metrics.features import FeatureSet, FeatureSpace
from core.run import Run
def side(count, seed):
    rows = np.random.default_rng(seed).random((count, {width}), np.float32)
    return FeatureSet(FeatureSpace("test", "", "none", {width}), rows)
compare_images(side(1500, 0), side(1500, 1), MetricSettings(kid_subsets=2))  # libraries, and blocks of their full size
sides = side({count}, 0), side({count}, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
compare_images(*sides, MetricSettings(kid_subsets=2), Run(folder=Path({str(folder)!r})))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    # All distances of one side are 128 MB.
    assert _peak_growth(4000, 4, tmp_path) < 60e6


@pytest.mark.slow
def test_memory_is_bounded_at_50000_images(tmp_path: Path) -> None:
    # All distances of one side are 20 GB.
    assert _peak_growth(50_000, 64, tmp_path) < 150e6
