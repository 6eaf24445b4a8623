"""A change of basis moves no pixel, and in the new one a distance is a change of the picture."""

import torch
from torch import Tensor

from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from testbed.recipes.metric import ABOVE, Basis, picture_basis, rebase, rebase_reader, sensitivity
from testbed.recipes.reader import CodeReader

CONFIG = StyleGAN2Config(resolution=(8, 8), channels={0: 12, 1: 8}, z_dim=6, w_dim=10, mapping_layers=2)


def blind_generator() -> Network:
    """A generator that looks at the first half of w only."""
    torch.manual_seed(0)
    generator = Network(CONFIG).requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("affine.weight"):
            parameter[:, CONFIG.w_dim // 2 :] = 0
    return generator


def drawn(generator: Network, w: Tensor) -> Tensor:
    return generator.synthesize(w[:, None].expand(-1, generator.num_ws, -1), noise="none").image


def basis_of(generator: Network, w: Tensor) -> Basis:
    return picture_basis(sensitivity(generator, w, torch.ones(len(w), 1, 8, 8)), w)


def test_the_picture_does_not_answer_to_what_it_does_not_read():
    generator, w = blind_generator(), torch.randn(64, CONFIG.w_dim)
    answers = sensitivity(generator, w, torch.ones(64, 1, 8, 8))
    half = CONFIG.w_dim // 2
    assert answers[:half, :half].diagonal().min() > 0
    assert answers[half:].abs().max() == 0


def test_pictures_stay_and_the_coordinates_are_as_promised():
    generator, w = blind_generator(), torch.randn(256, CONFIG.w_dim, generator=torch.Generator().manual_seed(1))
    before = drawn(generator, w)
    basis = basis_of(generator, w)
    rebase(generator, basis)
    moved = w @ basis.there.T + basis.shift
    assert torch.allclose(drawn(generator, moved), before, atol=1e-4)
    centred = moved - moved.mean(0)
    assert torch.isclose(centred.square().mean(), torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(moved.mean(0), ABOVE * centred.std(0), atol=1e-3)
    # What the picture does not answer to is short, though w varied there as much as elsewhere.
    along_unseen = centred @ basis.there[:, -1] / basis.there[:, -1].norm()
    assert along_unseen.std() < 0.1 * centred.std(0).max()


def test_a_reader_answers_in_the_new_coordinates():
    generator, reader = blind_generator(), CodeReader(20, CONFIG.w_dim)
    codes = torch.randn(64, 20)
    w = reader(codes).detach()
    basis = basis_of(generator, w)
    rebase_reader(reader, basis)
    assert torch.allclose(reader(codes), w @ basis.there.T + basis.shift, atol=1e-3)
