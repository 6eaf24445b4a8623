"""Quality of a generator: a perfect one, one that repeats its training images, classes, and images that do not fit."""

import json

import pytest
import torch

from core.errors import EvaluationError, Stopped
from core.evaluation.generator_quality import GeneratorQualityConfig, generator_quality
from core.evaluation.image_sources import SampledImages, StoredImages
from core.evaluation.metrics.extractors import domain_extractor
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator, StyleGAN2Sampler
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training.images import TensorImages
from core.inversion.perceptual.domain import PerceptualTrunk
from core.run import Run

CONFIG = GeneratorQualityConfig(samples=150)


def sampler(classes: int = 0, names: tuple[str, ...] = (), seed: int = 3) -> StyleGAN2Sampler:
    torch.manual_seed(seed)
    config = StyleGAN2Config((16, 16), {0: 8, 1: 8, 2: 6}, z_dim=8, w_dim=8, mapping_layers=2, c_dim=classes)
    network = Network(config).eval().requires_grad_(False)
    return StyleGAN2Generator(network, GeneratorInfo("tiny", digest="ab", classes=names)).bind({"truncation_psi": 1.0})


def images(source: SampledImages) -> TensorImages:
    return TensorImages(source.read(range(len(source))), source.class_index, source.classes)


@pytest.fixture(scope="module")
def drawn() -> list[TensorImages]:
    """Training and held-out images of the distribution of the generator itself."""
    return [images(SampledImages(sampler(), count, seed)) for count, seed in ((300, 100), (120, 200))]


def test_samples_of_the_true_distribution_score_as_training_images_do(drawn) -> None:
    points: list[tuple[int, int]] = []
    run = Run(seed=1, progress=lambda done, total: points.append((done, total)))
    torch.manual_seed(0)
    domain = domain_extractor(PerceptualTrunk(((8,), (8,), (8,))).eval(), "test")
    found = generator_quality(sampler(), *drawn, [domain], CONFIG, run)
    (score,), (reached,) = found.scores, found.training_scores
    assert score.fid == pytest.approx(reached.fid, rel=0.5, abs=0.2)
    assert score.manifold.recall > 0.7
    assert not found.memorised
    assert [one.space.extractor for one in found.memorization] == ["pixels (means of 16 x 16 patches)", "domain (test)"]
    assert points[-1][0] == points[-1][1]
    assert [done for done, _ in points] == sorted(done for done, _ in points)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["generator"]["settings"]["truncation_psi"] == 1
    assert document["scores"][0]["spec"]["seed"] == 1
    other = generator_quality(sampler(seed=4), *drawn, [domain], CONFIG, run)
    assert other.scores[0].fid > 3 * score.fid


def test_generator_that_repeats_its_training_images_is_reported(drawn) -> None:
    repeated = images(SampledImages(sampler(), 150, 1))
    found = generator_quality(sampler(), repeated, drawn[1], config=CONFIG, run=Run(seed=1))
    assert found.memorised
    assert len(found.memorization[0].copies) > 140


def test_classes_are_drawn_in_the_proportions_of_the_held_out_images_and_matched_by_name() -> None:
    conditional = sampler(3, ("cat", "dog", "emu"))
    sides = []
    for count, seed in ((90, 5), (60, 6)):
        index = torch.arange(count) % 3 // 2  # two thirds dogs, one third cats, by the images' own numbers
        drawn = SampledImages(conditional, count, seed, torch.where(index == 0, 1, 0)).read(range(count))
        sides.append(TensorImages(drawn, index, ("dog", "cat")))
    found = generator_quality(conditional, *sides, config=CONFIG)
    dog, cat, emu = found.scores[0].by_class
    assert (dog.name, dog.real, cat.real, emu.real, emu.generated) == ("dog", 40, 20, 0, 0)
    assert dog.generated == pytest.approx(100, abs=20)
    assert dog.generated + cat.generated == 150
    assert dog.fid is not None
    assert emu.fid is None
    assert "emu (0 real, 0 generated)" in found.scores[0].notes[-1]
    uniform = generator_quality(conditional, *sides, config=GeneratorQualityConfig(150, "uniform"))
    assert uniform.scores[0].by_class[2].generated == pytest.approx(50, abs=20)


def test_absent_classes_are_stated(drawn) -> None:
    labelled = TensorImages(drawn[1].images, torch.zeros(120, dtype=torch.long), ("cat",))
    found = generator_quality(sampler(), drawn[0], labelled, config=CONFIG)
    assert found.notes == ("No values by class: the generator has no classes.",)
    found = generator_quality(sampler(2), *drawn, config=CONFIG)
    assert "the images have no classes" in found.notes[0]


def test_images_of_another_size_and_too_few_images_are_named(drawn) -> None:
    small = TensorImages(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(EvaluationError) as caught:
        generator_quality(sampler(), small, drawn[1])
    assert [str(one) for one in caught.value.problems] == [
        "training: expected at least 2 images, found 1",
        "training: expected images of 16 x 16 pixels as the generator's, found 8 x 8",
    ]
    with pytest.raises(EvaluationError) as caught:
        GeneratorQualityConfig(samples=1, class_balance="both")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 2


def test_evaluation_stops_when_asked(drawn) -> None:
    with pytest.raises(Stopped):
        generator_quality(sampler(), *drawn, run=Run(should_stop=lambda: True))


def test_stored_images_equal_their_source_and_leave_no_file(drawn, tmp_path) -> None:
    stored = StoredImages(drawn[0], Run(folder=tmp_path), batch=7)
    assert torch.equal(stored.read([5, 2]), drawn[0].read([5, 2]))
    assert (stored.shape, len(stored)) == ((3, 16, 16), 300)
    assert not list(tmp_path.iterdir())
