"""A sound dataset passes every gate; each way of being bad fails the gate that is there for it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core.errors import EvaluationError, ResumeError, Stopped
from core.evaluation import arms
from core.evaluation.arms import EvaluationConfig, EvaluationData
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.gates import ArmScores, Regeneration, useful
from core.evaluation.quality import evaluate
from core.evaluation.report.dataset_report import report_html
from core.evaluation.scoring import MaskScoring
from core.label_sets.classes import ClassMap
from core.run import Run

CLASSES = ClassMap({0: "background", 1: "disc", 2: "hat"})
CONFIG = EvaluationConfig(
    DownstreamConfig(steps=40, batch=12, width=6, learning_rate=1e-2, augment="none"),
    repeats=4,
    baselines=("from_scratch",),
)
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


def run(images, masks, uncertainty, regeneration=SAME, repeats=CONFIG.repeats, surroundings=None):
    data = EvaluationData(
        MaskScoring(CLASSES), CLASSES, ArrayImages(images, masks), uncertainty, ArrayImages(*scenes(8, 1)),
        ArrayImages(*scenes(24, 2)), tuple("abcdefgh"), dropped=ArrayImages(*scenes(3, 6)),
        dropped_uncertainty=np.array([0.9, 0.8, 0.7]),
    )  # fmt: skip
    return data, evaluate(data, replace(CONFIG, repeats=repeats), regeneration=regeneration, run=surroundings)


def states(evaluation):
    return {gate["name"]: gate["state"] for gate in evaluation.document["gates"]}


def failed(evaluation):
    """Names of failed gates; with one repeat `useful` is always among them."""
    return {name for name, state in states(evaluation).items() if state == "failed"}


def gain(evaluation):
    """mIoU over the strongest baseline."""
    return evaluation.document["gates"][0]["numbers"]["difference"]["mean"]


@pytest.fixture(scope="module")
def sound():
    return run(*dataset())


def test_a_sound_dataset_passes(sound):
    _, evaluation = sound
    assert set(states(evaluation).values()) == {"passed"}
    assert evaluation.document["verdict"] == "use"
    assert evaluation.document["labels"]["auroc"] > 0.5


def test_the_report_is_one_page_and_json(sound):
    data, evaluation = sound
    page = report_html(evaluation, data, "Heads <1>")
    assert "Heads &lt;1&gt;" in page
    assert "This dataset passes every gate." in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads(json.dumps(evaluation.document, allow_nan=False)) == evaluation.document


def test_a_wrong_generator_is_of_no_use():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (80, 16, 16, 3), np.uint8)  # another world: noise
    masks = dataset(80)[1]
    _, evaluation = run(images, masks, random.random(80), Regeneration(4, 4, 4), repeats=1)
    found = states(evaluation)
    assert gain(evaluation) < 0
    assert found["useful"] == "failed"
    assert found["regeneration"] == "failed"
    assert evaluation.document["verdict"] == "do not use"


def test_shuffled_labels_are_of_no_use():
    images, masks, uncertainty = dataset()
    _, evaluation = run(images, np.random.default_rng(0).permutation(masks), uncertainty, repeats=1)
    assert gain(evaluation) < 0
    assert states(evaluation)["useful"] == "failed"


def test_copied_training_images_are_found_and_shown():
    images, masks, uncertainty = dataset()
    images[40:43], masks[40:43] = (copied[:3] for copied in scenes(8, 1))
    data, evaluation = run(images, masks, uncertainty, repeats=1)
    assert failed(evaluation) <= {"copies", "useful"}
    assert states(evaluation)["copies"] == "failed"
    assert evaluation.document["gates"][3]["numbers"]["copied"] == ["a", "b", "c"]
    assert "3 labelled images stand in the dataset almost unchanged: a, b, c." in report_html(evaluation, data, "x")


def test_a_class_that_was_dropped_is_named():
    images, masks, uncertainty = dataset()
    masks[masks == 2] = 0
    data, evaluation = run(images, masks, uncertainty, repeats=1)
    assert failed(evaluation) <= {"classes", "useful"}
    assert states(evaluation)["classes"] == "failed"
    assert "'hat'" in evaluation.document["gates"][1]["words"]
    said = "The generator never draws class 'hat', which 100% of the real images show."
    assert said in evaluation.document["warnings"]
    assert "never draws class &#x27;hat&#x27;" in report_html(evaluation, data, "x")


def test_an_interrupted_evaluation_trains_nothing_twice(sound, monkeypatch):
    monkeypatch.setattr(arms, "CHECKPOINT_EVERY", 25)  # each of the three nets is kept once on its way, and once done
    kept: list[bytes] = []
    with pytest.raises(Stopped):
        run(*dataset(), repeats=1, surroundings=Run(checkpoint=kept.append, should_stop=lambda: len(kept) >= 3))
    trained: list[bytes] = []
    _, evaluation = run(*dataset(), repeats=1, surroundings=Run(checkpoint=trained.append, resume_from=kept[-1]))
    assert len(kept) + len(trained) == 6
    first = [arm["repeats"][0] for arm in sound[1].document["arms"]]
    assert [arm["mean"] for arm in evaluation.document["arms"]] == pytest.approx(first)


@pytest.mark.parametrize("content", [b"in another form", b'{"done": {}}\n', b"[]\n"])
def test_the_state_of_something_else_is_refused(content):
    with pytest.raises(ResumeError, match="cannot continue"):
        run(*dataset(), repeats=1, surroundings=Run(resume_from=content))


def test_one_repeat_proves_nothing():
    arm = ArmScores("generated", np.array([[0.9, 0.9]]))
    assert useful(arm, [ArmScores("from_scratch", np.array([[0.1, 0.1]]))]).state == "failed"


def test_a_gain_that_is_not_shown_says_how_many_repeats_would_show_it():
    def arm(name, *means):
        return ArmScores(name, np.array(means)[:, None])

    gate = useful(arm("generated", 0.50, 0.56, 0.53), [arm("from_scratch", 0.48, 0.50, 0.53)])
    # Differences 2, 6 and 0 points: mean 2.67, standard deviation 3.06.
    assert gate.state == "failed"
    assert "If it is as it seems, 13 repeats would show it four times in five." in gate.words
    sure = useful(arm("generated", 0.50, 0.51, 0.52), [arm("from_scratch", 0.40, 0.41, 0.42)])
    assert sure.state == "passed"
    assert "repeats would" not in sure.words


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
