"""The family StyleGAN2: how its generators are read from disk and from checkpoints of other projects."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.checkpoints.content import CheckpointContent
from core.generators.answers import Answers
from core.generators.interface import Description, Generator, GeneratorInfo, ReadGenerator
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import NAME, StyleGAN2Generator, describe
from core.generators.stylegan2.importing import mean_code_findings, read_checkpoint
from core.generators.stylegan2.network import Network
from core.generators.weights import frozen_weights
from core.run import Run


class StyleGAN2Family:
    """Reads StyleGAN2 generators."""

    name = NAME

    def describe(self, config: Any) -> Description:
        """Read a configuration without weights. Raises :class:`core.errors.GeneratorError`."""
        return describe(StyleGAN2Config.from_json(config))

    def build(
        self, config: Any, info: GeneratorInfo, state: Mapping[str, Tensor], device: torch.device | str
    ) -> StyleGAN2Generator:
        """Build a generator. Raises :class:`core.errors.GeneratorError` for tensors that do not fit."""
        with torch.device("meta"):
            network = Network(StyleGAN2Config.from_json(config))
        network.load_state_dict(frozen_weights(network.state_dict(), state, info.name, device), assign=True)
        return StyleGAN2Generator(network.eval().requires_grad_(False), info)

    def read_checkpoint(self, content: CheckpointContent, answers: Answers) -> ReadGenerator | None:
        """Read a checkpoint of another project; None where it is no StyleGAN2."""
        return read_checkpoint(content, answers)

    def examine(self, generator: Generator, incomplete: bool, run: Run) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Compare the mean code with mapped latents, or measure it where the file has none."""
        assert isinstance(generator, StyleGAN2Generator)
        found, notes = mean_code_findings(generator.network, incomplete, run)
        details = {"architecture": generator.network.config.architecture, "noise": generator.noise, **found}
        return details, notes

    def parameters(self, generator: Generator) -> int:
        """Return how many numbers were trained, without noise maps and mean code."""
        assert isinstance(generator, StyleGAN2Generator)
        return sum(parameter.numel() for parameter in generator.network.parameters())


STYLEGAN2 = StyleGAN2Family()
