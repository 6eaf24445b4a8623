"""The shipped generators as what the testbed knows them to be: StyleGAN2 networks whose latents mean scenes."""

from pathlib import Path

from torch import Tensor

from core.generators.files import load_generator, shipped_generators
from core.generators.interface import Codes
from core.generators.stylegan2.generator import W_PLUS, StyleGAN2Generator


def load_stylegan2(folder: Path) -> StyleGAN2Generator:
    """Load a generator from a folder; it has to be a StyleGAN2."""
    loaded = load_generator(folder)
    assert isinstance(loaded, StyleGAN2Generator)
    return loaded


def load_shipped(name: str) -> StyleGAN2Generator:
    """Load a shipped generator by name."""
    return load_stylegan2(shipped_generators()[name])


def codes_of(w_plus: Tensor) -> Codes:
    """Return w+ [N, num_ws, w_dim] as codes."""
    return Codes({W_PLUS: w_plus})
