"""A mapping network learns what a teacher answers."""

import json

import pytest
import torch

from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Mapping
from testbed.latents import draw_stream
from testbed.recipes.mapping import begin_at, gaussian, learn_mapping

CONFIG = StyleGAN2Config(resolution=(8, 8), channels={0: 8, 1: 8}, z_dim=4, w_dim=64, mapping_layers=3)


def test_a_fresh_network_begins_at_the_mean() -> None:
    torch.manual_seed(0)
    mapping = Mapping(CONFIG)
    mean = torch.linspace(2, 8, CONFIG.w_dim)
    begin_at(mapping, mean)
    answer = mapping(torch.from_numpy(draw_stream(1, 0, 500, CONFIG.z_dim)), None).mean(0)
    assert torch.corrcoef(torch.stack([answer, mean]))[0, 1] > 0.9


def test_it_learns_a_teacher_s_answers(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    turn = torch.randn(CONFIG.z_dim, CONFIG.w_dim)
    mapping = Mapping(CONFIG)
    begin_at(mapping, torch.full((CONFIG.w_dim,), 4.0))
    teacher = lambda z: 4 + torch.from_numpy(z) @ turn  # noqa: E731
    learn_mapping(
        mapping,
        teacher,
        gaussian(CONFIG.z_dim),
        lambda step: step / 1500,
        z_dim=CONFIG.z_dim,
        differences=torch.eye(64),
        seed=1,
        held_out_seed=2,
    )
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["explained"] > 0.8
