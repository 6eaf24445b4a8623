"""The source of rendered heads answers alike for a step, and does not render anew at every step."""

import pytest
import torch

from testbed.recipes import encoder
from testbed.recipes.encoder import RenderedHeads


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts of the heads that were rendered, call by call; pools are small."""
    calls: list[int] = []
    genuine = encoder.labelled_heads

    def counted(seed: int, count: int, start: int):
        calls.append(count)
        return genuine(seed, count, start)

    monkeypatch.setattr(encoder, "labelled_heads", counted)
    monkeypatch.setattr(encoder, "_POOL", 64)
    return calls


def test_steps_in_a_row_share_a_pool_however_many_heads_they_take(rendered: list[int]) -> None:
    source = RenderedHeads()
    taken = [source(step, count) for step, count in enumerate((16, 3, 4, 2))]
    assert [len(images) for images in taken] == [16, 3, 4, 2]
    assert len(rendered) == 1


def test_a_step_is_given_the_same_heads_whatever_was_asked_before(rendered: list[int]) -> None:
    source = RenderedHeads()
    source(2, 16)
    assert torch.equal(source(9, 3), RenderedHeads()(9, 16)[:3])
