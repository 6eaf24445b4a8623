"""A sound dataset passes every gate; each way of being bad fails the gate that is there for it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import EvaluationError, ResumeError, Stopped
from core.evaluation import arms
from core.evaluation.arm_comparison import ArmScores, compare
from core.evaluation.arms import EvaluationConfig, EvaluationData
from core.evaluation.downstream.baselines import BASELINES
from core.evaluation.downstream.config import LABEL_AUGMENTATIONS, DownstreamConfig
from core.evaluation.downstream.frozen_features import FrozenFeatures
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.downstream.training import Start
from core.evaluation.gates import Regeneration, useful
from core.evaluation.metrics.published_weights import PublishedWeights
from core.evaluation.metrics.vision_transformers import VisionTransformer
from core.evaluation.quality import evaluate
from core.evaluation.report.dataset_report import report_html
from core.evaluation.scoring import MaskScoring
from core.label_sets.classes import ClassMap
from core.run import Run
from core.torchvision_import import import_torchvision

CLASSES = ClassMap({0: "background", 1: "disc", 2: "hat"})
CONFIG = EvaluationConfig(
    DownstreamConfig(steps=40, batch=12, width=6, learning_rate=1e-2, augment="none"),
    repeats=4,
)
TINY = replace(CONFIG, downstream=replace(CONFIG.downstream, steps=6, batch=2), repeats=1)
SAME = Regeneration(checked=4, images_differ=0, labels_differ=0)


def scenes(count: int, seed: int):
    """A disc with a flat hat on noisy ground whose brightness may be above or below the disc's; 16×16."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    images = np.empty((count, 16, 16, 3), np.uint8)
    masks = np.zeros((count, 16, 16), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        cx, cy = random.uniform(5, 11), random.uniform(7, 11)
        mask[(x - cx) ** 2 + (y - cy) ** 2 < 10] = 1
        mask[(np.abs(x - cx) < 3.5) & (np.abs(y - cy + 4) < 1.5)] = 2
        palette = random.uniform(30, 220, (3, 3))
        palette[1, 0], palette[2, 0] = palette[0, 0] * 0.3 + 170, palette[0, 0] * 0.3 + 10  # what tells the classes
        image[:] = (palette[mask] + random.normal(0, 12, (16, 16, 3))).clip(0, 255)
    return images, masks


def dataset(count: int = 120, seed: int = 5):
    """Good images and labels, but for a tenth whose labels are shifted and whose uncertainty says so."""
    images, masks = scenes(count, seed)
    uncertainty = np.random.default_rng(seed).uniform(0.1, 0.3, count)
    masks[::10] = np.roll(masks[::10], 5, axis=2)
    uncertainty[::10] += 0.5
    return images, masks, uncertainty


def run(images, masks, uncertainty, regeneration=SAME, config=CONFIG, held_out=24, surroundings=None):
    """With fewer than 8 images held out the augmentation is not tuned, which halves the time."""
    data = EvaluationData(
        MaskScoring(CLASSES), CLASSES, ArrayImages(images, masks), uncertainty, ArrayImages(*scenes(8, 1)),
        ArrayImages(*scenes(held_out, 2)), tuple("abcdefgh"), dropped=ArrayImages(*scenes(3, 6)),
        dropped_uncertainty=np.array([0.9, 0.8, 0.7]),
    )  # fmt: skip
    return data, evaluate(data, config, regeneration=regeneration, run=surroundings)


def states(evaluation):
    return {gate["name"]: gate["state"] for gate in evaluation.document["gates"]}


def failed(evaluation):
    """Names of failed gates."""
    return {name for name, state in states(evaluation).items() if state == "failed"}


def gain(evaluation):
    """mIoU over the strongest baseline."""
    return evaluation.document["gates"][0]["numbers"]["difference"]["mean"]


@pytest.fixture(scope="module")
def sound():
    return run(*dataset(), config=replace(CONFIG, repeats=2))


def test_a_sound_dataset_fails_no_gate(sound):
    _, evaluation = sound
    assert not failed(evaluation)
    document = evaluation.document
    assert document["verdict"] == {"passed": "use", "unknown": "not shown"}[states(evaluation)["useful"]]
    assert document["labels"]["auroc"] > 0.5
    assert [arm["name"] for arm in document["arms"]] == [
        "generated",
        "generated, then fine-tuned",
        "strong_augmentation",
    ]
    assert document["settings"]["augmentation"]["validation"].keys() == LABEL_AUGMENTATIONS.keys()


@pytest.mark.slow
def test_a_sound_dataset_passes():
    longer = replace(CONFIG, downstream=replace(CONFIG.downstream, steps=80), repeats=5)
    data, evaluation = run(*dataset(), config=longer)
    assert set(states(evaluation).values()) == {"passed"}, evaluation.document["gates"]
    document = evaluation.document
    assert document["verdict"] == "use"
    assert document["recommended"]["arm"] == document["gates"][0]["numbers"]["winner"]
    page = report_html(evaluation, data, "Heads")
    assert "<b>Use</b> this dataset: it passes every gate that decides." in page
    assert "<b>Recommended:</b> Train on this dataset" in page


def test_the_report_is_one_page_and_json(sound):
    data, evaluation = sound
    page = report_html(evaluation, data, "Heads <1>")
    assert "Heads &lt;1&gt;" in page
    assert "<b>Recommended:</b> " in page
    hat = evaluation.document["gates"][1]["numbers"]["change"]["2"]
    assert f"<td>hat</td><td>{100 * hat['mean']:+.1f}</td>" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads(json.dumps(evaluation.document, allow_nan=False)) == evaluation.document


def test_a_wrong_generator_is_of_no_use():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (80, 16, 16, 3), np.uint8)  # another world: noise
    masks = dataset(80)[1]
    _, evaluation = run(images, masks, random.random(80), Regeneration(4, 4, 4), replace(CONFIG, repeats=1), held_out=7)
    found = states(evaluation)
    assert gain(evaluation) < 0
    assert found["useful"] == "unknown", "one repeat has no interval"
    assert found["regeneration"] == "failed"
    assert evaluation.document["verdict"] == "do not use"


def test_shuffled_labels_are_of_no_use_and_the_baseline_is_recommended():
    images, masks, uncertainty = dataset()
    _, evaluation = run(
        images, np.random.default_rng(0).permutation(masks), uncertainty, config=replace(CONFIG, repeats=3), held_out=7
    )
    assert gain(evaluation) < 0
    assert states(evaluation)["useful"] == "failed"
    recommended = evaluation.document["recommended"]
    assert recommended["arm"] == "strong_augmentation"
    assert recommended["words"].startswith("Train on the labelled images alone, with strong augmentation, without this")


def test_copied_training_images_are_found_and_shown():
    images, masks, uncertainty = dataset()
    images[40:43], masks[40:43] = (copied[:3] for copied in scenes(8, 1))
    data, evaluation = run(images, masks, uncertainty, config=TINY)
    assert failed(evaluation) == {"copies"}
    assert evaluation.document["gates"][3]["numbers"]["copied"] == ["a", "b", "c"]
    assert "3 labelled images stand in the dataset almost unchanged: a, b, c." in report_html(evaluation, data, "x")


def test_a_class_that_was_dropped_is_named():
    images, masks, uncertainty = dataset()
    masks[masks == 2] = 0
    data, evaluation = run(images, masks, uncertainty, config=replace(CONFIG, repeats=1), held_out=7)
    gate = evaluation.document["gates"][1]
    assert gate["numbers"]["change"]["2"]["mean"] < 0
    assert "'hat'" in gate["words"]
    said = "The generator never draws class 'hat', which 100% of the real images show."
    assert said in evaluation.document["warnings"]
    assert "never draws class &#x27;hat&#x27;" in report_html(evaluation, data, "x")


def test_an_interrupted_evaluation_trains_nothing_twice(monkeypatch):
    monkeypatch.setattr(arms, "CHECKPOINT_EVERY", 4)  # each net of 6 steps is kept once on its way, and once done
    first = [arm["repeats"] for arm in run(*dataset(), config=TINY)[1].document["arms"]]
    for stop in (1, 7, 8, 9):  # in the first net; in `generated`; between it and its fine-tuning; after both
        kept: list[bytes] = []
        stopped = Run(checkpoint=kept.append, should_stop=lambda stop=stop, kept=kept: len(kept) >= stop)
        with pytest.raises(Stopped):
            run(*dataset(), config=TINY, surroundings=stopped)
        trained: list[bytes] = []
        resumed = Run(checkpoint=trained.append, resume_from=kept[-1])
        _, evaluation = run(*dataset(), config=TINY, surroundings=resumed)
        # Three augmentations and `generated` twice each; fine-tuning takes 2 steps and is kept once.
        assert len(kept) + len(trained) == 9
        assert [arm["repeats"] for arm in evaluation.document["arms"]] == first


@pytest.mark.parametrize("content", [b"in another form", b'{"done": {}}\n', b"[]\n", b'{"version": 1, "done": {}}\n'])
def test_the_state_of_something_else_is_refused(content):
    with pytest.raises(ResumeError, match="cannot continue"):
        run(*dataset(), config=TINY, surroundings=Run(resume_from=content))


def arm(name, *means):
    return ArmScores(name, np.array(means)[:, None])


def test_one_repeat_proves_nothing():
    gate = useful(compare([arm("generated", 0.9)], [arm("labels", 0.1)]))
    assert gate.state == "unknown"
    assert "More than one repeat is needed." in gate.words


def test_a_gain_that_is_not_shown_says_how_many_repeats_would_show_it():
    gate = useful(compare([arm("generated", 0.50, 0.56, 0.53)], [arm("labels", 0.48, 0.50, 0.53)]))
    # Deviations of 3.0 and 2.5 points, mean difference 2.67: (1.96 + 0.84)² · 15.3 / 2.67² is 17 by the normal.
    assert gate.state == "unknown"
    assert gate.numbers["repeats_to_show"] == 18
    assert "If it is as it seems, 18 repeats would show it four times in five." in gate.words
    sure = useful(compare([arm("generated", 0.50, 0.51, 0.52)], [arm("labels", 0.40, 0.41, 0.42)]))
    assert sure.state == "passed"
    assert "repeats would" not in sure.words
    worse = useful(compare([arm("generated", 0.40, 0.41, 0.42)], [arm("labels", 0.50, 0.51, 0.52)]))
    assert worse.state == "failed"


def test_published_weights_are_the_start_of_every_arm(tmp_path):
    """An arm that cannot start from them is left out, with the reason."""
    (tmp_path / "resnet18.pth").write_bytes(b"")
    weights, all_ = PublishedWeights((tmp_path,)), BASELINES
    published = EvaluationConfig(DownstreamConfig("unet_resnet18"), baselines=all_, weights=weights)
    assert published.start.trunk_weights == tmp_path / "resnet18.pth"
    assert published.tried == ("strong_augmentation", "head_only", "fine_tuned")
    assert set(published.left_out) == {"from_scratch", "frozen_features"}
    fresh = EvaluationConfig(DownstreamConfig("unet_small"), baselines=all_, weights=weights)
    assert fresh.start.trunk_weights is None
    assert fresh.tried == ("strong_augmentation", "from_scratch")
    (tmp_path / "dinov3.pth").write_bytes(b"")
    assert (fresh.backbone, "frozen_features" in fresh.tried) == ("dinov3", True)
    assert EvaluationConfig(baselines=("from_scratch",)).tried == ("strong_augmentation", "from_scratch")


def test_frozen_features_are_a_baseline_where_their_weights_are(tmp_path, monkeypatch):
    import_torchvision()
    pytest.importorskip("timm", exc_type=ImportError)
    torch.save(VisionTransformer("dinov3", None).network.state_dict(), tmp_path / "dinov3.pth")
    made = []

    def small(*given):
        made.append(FrozenFeatures(*given, views=2, least=28))
        return made[-1]

    monkeypatch.setattr(arms, "FrozenFeatures", small)
    config = replace(TINY, weights=PublishedWeights((tmp_path,)), repeats=2)
    _, evaluation = run(*dataset(), config=config, held_out=7)
    assert len(made) == 1, "features are computed once for all repeats"
    arm = evaluation.document["arms"][-1]
    assert (arm["name"], len(arm["repeats"])) == ("frozen_features", 2)
    assert evaluation.document["settings"]["backbone"] == "dinov3"


def test_every_net_starts_from_the_published_trunk(monkeypatch):
    """Generated arms too; only fine-tuning starts from the net that it continues."""
    given = []
    train = arms.train_downstream

    def noted(*more, start, **settings):
        given.append(start)
        return train(*more, start=Start(), **settings)

    monkeypatch.setattr(arms, "train_downstream", noted)
    monkeypatch.setattr(EvaluationConfig, "start", Start(Path("resnet18.pth")))
    run(*dataset(), config=TINY)
    assert len(given) == 6, "three augmentations, `generated`, `head_only`, and the net that judges labels"
    assert {one.trunk_weights for one in given} == {Path("resnet18.pth")}
    assert [one.freeze_trunk for one in given] == [False, False, False, False, True, False]


def test_sizes_that_do_not_fit_are_refused():
    images, masks, uncertainty = dataset(10)
    with pytest.raises(EvaluationError) as caught:
        EvaluationData(
            MaskScoring(CLASSES), CLASSES, ArrayImages(images, masks), uncertainty,
            ArrayImages(images[:2, :8], masks[:2, :8]), ArrayImages(images[:2], masks[:2]),
        )  # fmt: skip
    assert [one.pointer for one in caught.value.problems] == ["labelled"]
    with pytest.raises(EvaluationError, match="invalid evaluation settings"):
        replace(CONFIG, repeats=0)
