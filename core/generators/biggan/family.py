"""The family BigGAN: how its generators are read from disk and from checkpoints of other projects."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.content import CheckpointContent
from core.generators.answers import Answers
from core.generators.biggan.config import BigGANConfig
from core.generators.biggan.generator import NAME, BigGANGenerator, describe
from core.generators.biggan.importing import read_checkpoint
from core.generators.biggan.network import Network
from core.generators.interface import Description, Generator, GeneratorInfo, ReadGenerator
from core.generators.weights import frozen_weights
from core.run import Run


class BigGANFamily:
    """Reads BigGAN and BigGAN-deep generators."""

    name = NAME

    def describe(self, config: Any) -> Description:
        """Read a configuration without weights. Raises :class:`core.errors.GeneratorError`."""
        return describe(BigGANConfig.from_json(config))

    def build(
        self, config: Any, info: GeneratorInfo, state: Mapping[str, Tensor], device: torch.device | str
    ) -> BigGANGenerator:
        """Build a generator. Raises :class:`core.errors.GeneratorError` for tensors that do not fit."""
        with torch.device("meta"):
            network = Network(BigGANConfig.from_json(config))
        network.load_state_dict(frozen_weights(network.state_dict(), state, info.name, device), assign=True)
        return BigGANGenerator(network.eval().requires_grad_(False), info)

    def read_checkpoint(self, content: CheckpointContent, answers: Answers) -> ReadGenerator | None:
        """Read a checkpoint of ajbrock/BigGAN-PyTorch or of Hugging Face; None where it is no BigGAN."""
        return read_checkpoint(content, answers)

    def examine(self, generator: Generator, incomplete: bool, run: Run) -> tuple[dict[str, Any], tuple[str, ...]]:  # noqa: ARG002
        """Return the architecture and how statistics and spectral norm are stored; nothing is measured."""
        assert isinstance(generator, BigGANGenerator)
        config = generator.network.config
        details = {
            "architecture": config.architecture,
            "spectral_norm": config.spectral_norm,
            "truncations_with_statistics": config.statistics,
        }
        return details, ()

    def parameters(self, generator: Generator) -> int:
        """Return how many numbers were trained, without statistics and vectors of spectral norms."""
        assert isinstance(generator, BigGANGenerator)
        return sum(parameter.numel() for parameter in generator.network.parameters())


BIGGAN = BigGANFamily()
