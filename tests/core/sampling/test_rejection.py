"""Samples chosen by a classifier: the most confident of several codes, for each index alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.errors import SamplingError
from core.generators.interface import Sampler
from core.sampling.classifier import Classifier, load_classifier
from core.sampling.config import SamplingConfig
from core.sampling.rejection import Rejection, tries_of
from core.sampling.stream import draw_unlabelled
from core.torchvision_import import import_torchvision
from tests.core.generators.biggan import small


class Brightness(nn.Module):
    """Logit of class k: k times the mean of the image."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None] * torch.arange(3)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return small.generator().bind()


@pytest.fixture
def rejection() -> Rejection:
    return Rejection(Classifier("brightness", Brightness()), tries_of(0.75))


def test_rates_become_numbers_of_codes() -> None:
    assert [tries_of(rate) for rate in (0, 0.5, 0.75, 0.9)] == [1, 2, 4, 10]
    with pytest.raises(SamplingError):
        tries_of(1)


def test_the_most_confident_code_of_each_sample_is_kept(sampler: Sampler, rejection: Rejection) -> None:
    codes, confidence = rejection.draw(sampler, 5, [3, 4], [2, 0])
    assert codes.class_index is not None
    assert codes.class_index.tolist() == [2, 0]
    for row, (index, class_index) in enumerate(((3, 2), (4, 0))):
        drawn = sampler.draw(5, range(4 * index, 4 * index + 4), [class_index] * 4)
        all_of_them = rejection.classifier.confidence(sampler.synthesize(drawn).image, torch.full((4,), class_index))
        best = int(all_of_them.argmax())
        assert torch.allclose(codes.parts["z"][row], drawn.parts["z"][best])
        assert float(confidence[row]) == pytest.approx(float(all_of_them[best]), abs=1e-5)


def test_samples_of_a_stream_with_rejection_do_not_depend_on_its_cut(sampler: Sampler, rejection: Rejection) -> None:
    def part(start: int, stop: int) -> list[Tensor]:
        config = SamplingConfig(seed=2, start=start, stop=stop, batch=4)
        return [one.code.parts["z"] for one in draw_unlabelled(sampler, config, rejection=rejection)]

    whole = part(0, 8)
    assert all(map(torch.equal, part(5, 7), whole[5:7]))
    (one, *_) = draw_unlabelled(sampler, SamplingConfig(seed=2, start=0, stop=1, batch=4), rejection=rejection)
    assert one.confidence is not None
    assert 0 < one.confidence <= 1


def test_a_published_architecture_is_read_from_a_file_of_the_generators_classes(tmp_path: Path) -> None:
    network = import_torchvision().models.squeezenet1_1(weights=None, num_classes=3).eval()
    path = tmp_path / "squeezenet1_1.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    classifier = load_classifier("squeezenet1_1", path, 3)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    found = classifier.confidence(images, torch.tensor([0, 2]))
    assert found.shape == (2,)
    assert len(classifier.digest) == 64
    with pytest.raises(SamplingError, match="squeezenet1_1 with 4 classes"):
        load_classifier("squeezenet1_1", path, 4)
    with pytest.raises(SamplingError, match="unknown classifier"):
        load_classifier("no_such_net", path, 3)
    path.write_bytes(b"x")
    with pytest.raises(SamplingError, match="cannot be used"):
        load_classifier("squeezenet1_1", path, 3)
