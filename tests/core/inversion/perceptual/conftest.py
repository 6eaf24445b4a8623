"""A distance small enough for tests, and where the weights of a reference LPIPS lie."""

from pathlib import Path

import pytest
import torch

from core.inversion.perceptual.distance import LossWeights
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk

_GOLDEN = Path(__file__).parents[5] / "shared" / "golden" / "lpips"


@pytest.fixture
def perceptual() -> DomainPerceptual:
    torch.manual_seed(0)
    return DomainPerceptual("tiny-domain-v1", PerceptualTrunk([[8, 8], [12]]), LossWeights(1.0, 2.0))


@pytest.fixture
def lpips_trunk() -> Path:
    """Random weights of a trunk; the reference's answers lie beside it, in io.safetensors."""
    trunk = _GOLDEN / "squeezenet1_1_random_backbone.safetensors"
    if not trunk.is_file():
        pytest.skip(f"golden LPIPS vectors are not at {_GOLDEN}")
    return trunk
