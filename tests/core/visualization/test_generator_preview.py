import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import GeneratorError, Stopped
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.run import Run
from core.visualization.generator_preview import preview
from tests.core.checkpoints.writers import SMALL, trained


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize(
    "changes", [{}, {"c_dim": 2}, {"image_channels": 1}, {"resolution": (16, 8), "const_size": (4, 2)}]
)
def test_three_rows_of_six(changes):
    generator = StyleGAN2Generator(trained(replace(SMALL, **changes)), GeneratorInfo("x", classes=("a", "b")))
    told = []
    content = preview(generator, title="ψ of something", run=Run(progress=lambda *both: told.append(both)))
    assert told == [(n, 18) for n in range(1, 19)]
    assert content == preview(generator, title="ψ of something")
    shape = pixels(content).shape
    assert shape[1] > (500 if "resolution" in changes else 1000)


def test_what_is_not_finite_is_told():
    network = trained()
    network.constant.fill_(3e38)
    with pytest.raises(GeneratorError, match="no finite image"):
        preview(StyleGAN2Generator(network), title="x")


def test_it_can_be_stopped():
    with pytest.raises(Stopped):
        preview(StyleGAN2Generator(trained()), title="x", run=Run(should_stop=lambda: True))


def test_the_truncated_row_lies_nearer_to_the_mean():
    network = trained()
    z = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    near, far = (network.synthesize(network.map(z, truncation_psi=psi)).image.std(0).mean() for psi in (0.5, 1.0))
    assert near < far
