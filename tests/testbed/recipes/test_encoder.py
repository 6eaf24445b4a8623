"""The source of rendered scenes answers alike for a step, and does not render anew at every step."""

from dataclasses import replace

import pytest
import torch

from testbed.recipes import encoder
from testbed.recipes.encoder import RenderedScenes
from testbed.worlds import HEADS, World


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[World, list[int]]:
    """A world that counts the scenes that were rendered, call by call; pools are small."""
    calls: list[int] = []

    def labelled(seed: int, count: int, start: int):
        calls.append(count)
        return HEADS.labelled(seed, count, start)

    monkeypatch.setattr(encoder, "_POOL", 64)
    return replace(HEADS, labelled=labelled), calls


def test_steps_in_a_row_share_a_pool_however_many_scenes_they_take(counted: tuple[World, list[int]]) -> None:
    world, calls = counted
    source = RenderedScenes(world)
    taken = [source(step, count) for step, count in enumerate((16, 3, 4, 2))]
    assert [len(images) for images in taken] == [16, 3, 4, 2]
    assert len(calls) == 1


def test_a_step_is_given_the_same_scenes_whatever_was_asked_before(counted: tuple[World, list[int]]) -> None:
    world, _ = counted
    source = RenderedScenes(world)
    source(2, 16)
    assert torch.equal(source(9, 3), RenderedScenes(world)(9, 16)[:3])
