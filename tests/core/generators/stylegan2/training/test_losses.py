"""Losses that the golden iterations do not cover: LeCam, and gradients that are not finite."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.generators.stylegan2.training.losses import LeCam, clean_gradients, path_length_penalty, path_lengths


def test_lecam_equals_the_released_code(shared: Path) -> None:
    folder = shared / "golden" / "stylegan2_training"
    io = load_file(folder / "lecam_io.safetensors")
    facts = json.loads((folder / "info.json").read_text())["lecam"]
    lecam = LeCam(facts["decay"], facts["start_iter"])
    for step, expected in enumerate(facts["steps"]):
        real = io[f"it{step}.D_real"].requires_grad_()
        fake = io[f"it{step}.D_fake"].requires_grad_()
        lecam.update(real, fake, step)
        assert lecam.real == pytest.approx(expected["ema_D_real"], abs=1e-5)
        assert lecam.fake == pytest.approx(expected["ema_D_fake"], abs=1e-5)
        loss = lecam.loss(real, fake)
        assert float(loss.detach()) == pytest.approx(expected["loss"], abs=1e-4)
        slopes = torch.autograd.grad(loss, [real, fake])
        torch.testing.assert_close(slopes[0], io[f"it{step}.grad_real"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(slopes[1], io[f"it{step}.grad_fake"], atol=1e-4, rtol=1e-4)


def test_first_logits_set_the_means_of_lecam() -> None:
    lecam = LeCam(decay=0.99, start=0)
    lecam.update(torch.tensor([2.0]), torch.tensor([-1.0]), 0)
    assert (lecam.real, lecam.fake) == (2.0, -1.0)
    lecam.update(torch.tensor([3.0]), torch.tensor([-1.0]), 1)
    assert lecam.real == pytest.approx(2.01)


def test_gradients_that_are_not_finite_are_replaced_and_counted() -> None:
    weights = [torch.nn.Parameter(torch.zeros(3)) for _ in range(3)]
    weights[0].grad = torch.tensor([float("nan"), float("inf"), -float("inf")])
    weights[1].grad = torch.tensor([1e30, 1.0, 2.0])  # its norm overflows, and it is fine
    assert clean_gradients(weights) == 1
    assert weights[0].grad.tolist() == [0.0, 1e5, -1e5]
    assert weights[1].grad.tolist() == pytest.approx([1e30, 1.0, 2.0])


def test_path_lengths_of_a_linear_map_are_its_norms() -> None:
    w = torch.randn(2, 3, 5).requires_grad_()
    noise = torch.randn(2, 1, 2, 2)
    matrix = torch.randn(4, 15)
    image = (w.flatten(1) @ matrix.t()).reshape(2, 1, 2, 2)
    lengths = path_lengths(image, w, noise)
    slopes = (noise.flatten(1) @ matrix).reshape(2, 3, 5) / 2
    torch.testing.assert_close(lengths, slopes.square().sum(2).mean(1).sqrt())
    penalty, mean = path_length_penalty(lengths, torch.tensor(1.0), 0.5)
    assert float(mean) == pytest.approx(0.5 + 0.5 * float(lengths.mean()))
    torch.testing.assert_close(penalty, (lengths - mean).square())
