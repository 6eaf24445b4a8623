"""Masks, points and depths are taught, read back and judged by their own scores."""

import numpy as np
import pytest
import torch

from core.evaluation.arms import EvaluationConfig, EvaluationData
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.downstream.networks import DownstreamNet
from core.evaluation.downstream.training import Trained
from core.evaluation.quality import evaluate
from core.evaluation.report.dataset_report import report_html
from core.evaluation.scoring import DepthScoring, MaskScoring, PointScoring, Taught
from core.label_sets.classes import ClassMap

QUICK = EvaluationConfig(
    DownstreamConfig(steps=25, batch=8, width=4, learning_rate=1e-2, augment="none", validate_every=10),
    repeats=1,
)


class Oracle(DownstreamNet):
    """Says what it was given."""

    def __init__(self, answer):
        super().__init__()
        self.answer = torch.nn.Parameter(torch.from_numpy(answer))

    def forward(self, images):
        return self.answer[: len(images)]


def spots(count: int, seed: int):
    """A red and a green spot on grey ground, 16×16: images, points [N, 2, 3], and a depth that grows to the right."""
    random = np.random.default_rng(seed)
    points = np.concatenate([random.integers(2, 14, (count, 2, 2)) + 0.5, np.full((count, 2, 1), 2)], 2)
    images = np.full((count, 16, 16, 3), 90, np.uint8)
    for image, (red, green) in zip(images, points, strict=True):
        for channel, (x, y, _) in enumerate((red, green)):
            image[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2, channel] = 250
    depth = np.tile(np.linspace(2, 6, 16), (count, 16, 1)) + random.uniform(0, 0.2, (count, 1, 1))
    return images, points.astype(np.float32), depth.astype(np.float32)


def data(task: str):
    images, points, depth = spots(40, 0)
    labels = {"keypoints": points, "depth": depth}[task]
    size = (16, 16)
    scoring = PointScoring(("red", "green"), size) if task == "keypoints" else DepthScoring(depth)
    uncertainty = np.random.default_rng(0).random(40)
    real, more = (spots(count, seed) for count, seed in ((6, 1), (12, 2)))
    at = 1 if task == "keypoints" else 2
    return EvaluationData(
        scoring, ClassMap({}), ArrayImages(images, labels), uncertainty, ArrayImages(real[0], real[at]),
        ArrayImages(more[0], more[at]),
    )  # fmt: skip


def test_what_is_taught_is_said():
    images, points, depth = spots(3, 0)
    scoring = PointScoring(("red", "green"), (16, 16))
    heat = scoring.taught(points)
    said = scoring.said(Trained(Oracle(heat), 2), images)
    assert np.array_equal(said[..., :2], points[..., :2])
    assert scoring.scores(points, said).tolist() == [1, 1]
    assert scoring.each(points, said).tolist() == [1, 1, 1]
    assert scoring.more(points, said) == {"PCK-0.1": 1, "PCK-0.05": 1, "PCK-0.02": 1}
    depth[:, :2] = 0  # not measured
    metres = DepthScoring(depth)
    taught = metres.taught(depth)
    assert np.isnan(taught[:, 0, :2]).all()
    assert np.nanmean(taught) == pytest.approx(0, abs=1e-5)
    assert np.nanstd(taught) == pytest.approx(1, abs=1e-5)
    back = metres.said(Trained(Oracle(np.nan_to_num(taught)), 1), images)
    assert metres.scores(depth, back) == pytest.approx([1])
    # Twice the depth is wrong by all of it.
    assert metres.scores(depth, 2 * back) == pytest.approx([0], abs=1e-5)
    assert metres.more(depth, back)["RMSE"] == pytest.approx(0, abs=1e-5)


def test_masks_by_hand():
    scoring = MaskScoring(ClassMap({0: "ground", 1: "thing"}))
    truth, said = np.array([[[0, 1], [1, 255]]], np.uint8), np.array([[[0, 1], [0, 0]]], np.uint8)
    assert scoring.scores(truth, said) == pytest.approx([1 / 2, 1 / 2])
    assert scoring.each(truth, said) == pytest.approx([1 / 2])
    assert scoring.more(truth, said) == {"F1": pytest.approx(2 / 3)}
    images, labels = Taught(ArrayImages(np.zeros((1, 2, 2, 3), np.uint8), truth), scoring).take(np.array([0]))
    assert np.array_equal(labels, truth)
    assert images.shape == (1, 2, 2, 3)


@pytest.mark.parametrize("task", ["keypoints", "depth"])
def test_a_dataset_of_points_or_depth_is_judged(task):
    given = data(task)
    evaluation = evaluate(given, QUICK)
    document = evaluation.document
    assert document["task"] == task
    assert document["images"] | {"validation": 3, "test": 9} == document["images"]
    metric, part = {"keypoints": ("mean PCK-0.1", "green"), "depth": ("1 - mNMSE", "depth")}[task]
    assert document["metric"] == metric
    assert all(0 <= arm["parts"][part] <= 1 for arm in document["arms"])
    page = report_html(evaluation, given, "x")
    assert metric in page
    assert {"keypoints": "share of images that show the keypoint", "depth": "50% are nearer than"}[task] in page
