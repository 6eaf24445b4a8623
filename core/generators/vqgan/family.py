"""The family VQGAN: how its generators are read from disk and from checkpoints of other projects."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.content import CheckpointContent
from core.generators.answers import Answers
from core.generators.interface import Description, Generator, GeneratorInfo, ReadGenerator
from core.generators.vqgan.config import VQGANConfig
from core.generators.vqgan.generator import NAME, Network, VQGANGenerator, describe
from core.generators.vqgan.importing import read_checkpoint
from core.generators.weights import frozen_weights
from core.run import Run


class VQGANFamily:
    """Reads VQGAN generators."""

    name = NAME

    def describe(self, config: Any) -> Description:
        """Read a configuration without weights. Raises :class:`core.errors.GeneratorError`."""
        return describe(VQGANConfig.from_json(config))

    def build(
        self, config: Any, info: GeneratorInfo, state: Mapping[str, Tensor], device: torch.device | str
    ) -> VQGANGenerator:
        """Build a generator. Raises :class:`core.errors.GeneratorError` for tensors that do not fit."""
        with torch.device("meta"):
            network = Network(VQGANConfig.from_json(config))
        network.load_state_dict(frozen_weights(network.state_dict(), state, info.name, device), assign=True)
        return VQGANGenerator(network.eval().requires_grad_(False), info)

    def read_checkpoint(self, content: CheckpointContent, answers: Answers) -> ReadGenerator | None:
        """Read a checkpoint of another project; None where it is no VQGAN."""
        return read_checkpoint(content, answers)

    def examine(self, generator: Generator, incomplete: bool, run: Run) -> tuple[dict[str, Any], tuple[str, ...]]:  # noqa: ARG002
        """Return the shape of the code: nothing can be measured without images."""
        assert isinstance(generator, VQGANGenerator)
        config = generator.network.config
        return {"codes": config.codes, "grid": [config.grid, config.grid], "quantizer": config.quantizer}, ()

    def parameters(self, generator: Generator) -> int:
        """Return how many numbers were trained."""
        return sum(tensor.numel() for tensor in generator.state().values())


VQGAN = VQGANFamily()
