"""A network may be made wider in the middle of its training."""

from dataclasses import replace

import pytest
import torch

from core.generators.stylegan2.network import Network
from testbed.recipes import streets64
from testbed.recipes.training import Plaster
from testbed.recipes.widening import widened

NARROW = streets64.RECIPE.config
WIDE = replace(NARROW, channels={block: count + 8 * block for block, count in NARROW.channels.items()})


def test_a_wider_network_draws_the_same_and_all_of_it_can_learn() -> None:
    torch.manual_seed(0)
    narrow, wide = Network(NARROW), Network(WIDE)
    plasters = Plaster(NARROW, 4), Plaster(WIDE, 6)
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict()))
    plasters[1].load_state_dict(widened(plasters[0].state_dict(), plasters[1].state_dict()))
    w = torch.randn(2, NARROW.w_dim)
    w_plus = w[:, None].expand(-1, NARROW.num_ws, -1)
    drawn = [g.synthesize(w_plus, noise="none", with_features=True) for g in (narrow, wide)]
    surfaces = [plaster(one, w) for plaster, one in zip(plasters, drawn, strict=True)]
    for one, other in ((drawn[0].image, drawn[1].image), (surfaces[0], surfaces[1][:, :4])):
        assert (one - other).abs().max() < 1e-4 * one.abs().max()
    drawn[1].image.square().mean().backward()
    last = wide.blocks[-1].conv1.weight.grad
    assert last is not None
    assert last[: NARROW.channels[4], NARROW.channels[4] :].abs().min() > 0


def test_what_does_not_fit_is_named() -> None:
    narrow, wide = Network(NARROW).state_dict(), Network(WIDE).state_dict()
    with pytest.raises(ValueError, match=r"blocks\.1.*does not go into"):
        widened(wide, narrow)
    with pytest.raises(ValueError, match=r"other parameters: \['w_avg'\]"):
        widened({name: tensor for name, tensor in narrow.items() if name != "w_avg"}, wide)
