"""A second family for the tests, awkward on purpose: it differs from StyleGAN2 wherever the interface allows it.

Its codes have a float part and an integer part and need a class; images are grey and not square; synthesis needs a
statistic that is stored for each temperature; photographs cannot be inverted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.checkpoints.content import CheckpointContent
from core.errors import GeneratorError, Problem
from core.generators.answers import Answers
from core.generators.interface import (
    Codes,
    CodeSpec,
    Description,
    FeatureLayer,
    Generator,
    GeneratorInfo,
    LabelledBy,
    PartSpec,
    ReadGenerator,
    Synthesis,
    digest_of_facts,
    schema_with_defaults,
    settings_with_defaults,
)
from core.generators.weights import frozen_weights
from core.run import Run

NAME = "awkward"
HEIGHT, WIDTH, CLASSES, TOKENS = 12, 20, 3, 7
LAYERS = (FeatureLayer("coarse", 6, 3, 5), FeatureLayer("fine", 4, HEIGHT, WIDTH))
CODE = CodeSpec({"z": PartSpec((5,)), "tokens": PartSpec((3, 5), "int16")}, classes=CLASSES, needs_class=True)
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"temperature": {"type": "number", "minimum": 0.1, "maximum": 2, "default": 1.0}},
}
STREAM = 77


class Network(nn.Module):
    """Tokens on a 3x5 grid, a z for the whole image and a class → grey images."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, 6)
        self.classes = nn.Embedding(CLASSES, 2)
        self.mix = nn.Linear(5 + 2, 6)
        self.fine = nn.Conv2d(6, 4, 3, padding=1)
        self.out = nn.Conv2d(4, 1, 1)

    def forward(
        self, z: Tensor, tokens: Tensor, class_index: Tensor, mean: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return images [N, 1, 12, 20], features, class embeddings [N, 2]. mean: [6], the stored statistic."""
        condition = self.classes(class_index)
        grid = self.tokens(tokens.long()).permute(0, 3, 1, 2)  # [N, 6, 3, 5]
        coarse = torch.tanh(grid + self.mix(torch.cat([z, condition], 1))[:, :, None, None] - mean[:, None, None])
        fine = torch.relu(self.fine(F.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")))
        return torch.tanh(self.out(fine)), [coarse, fine], condition


@dataclass(frozen=True)
class Statistic:
    """Mean of the coarse features before the activation, [6], for one temperature."""

    mean: Tensor

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers."""
        return digest_of_facts(self.mean.tolist())

    def to_bytes(self) -> bytes:
        """Return a safetensors file."""
        return safetensors.torch.save({"mean": self.mean.contiguous()})


class AwkwardGenerator:
    """A frozen network with its facts."""

    family = NAME
    resolution = (HEIGHT, WIDTH)
    channels = 1
    code = CODE
    layers = LAYERS
    labelled_by: frozenset[LabelledBy] = frozenset({"samples"})
    preview_settings: Sequence[Mapping[str, float]] = ({"temperature": 0.5}, {"temperature": 1.0})

    def __init__(self, network: Network, info: GeneratorInfo) -> None:
        self.network, self.info = network, info
        self.settings_schema = schema_with_defaults(SCHEMA, info)

    def with_info(self, info: GeneratorInfo) -> "AwkwardGenerator":
        """Return the same network with other facts."""
        return AwkwardGenerator(self.network, info)

    def config_json(self) -> dict[str, Any]:
        """Return the only architecture there is."""
        return {"tokens": TOKENS}

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights."""
        return self.network.state_dict()

    @torch.no_grad()
    def prepare(self, settings: Mapping[str, Any], run: Run) -> Statistic:
        """Measure the statistic of a temperature over 64 codes."""
        run.stop_if_asked()
        complete = settings_with_defaults(self.settings_schema, settings)
        z = torch.stack([_latent(0, index, complete["temperature"])[0] for index in range(64)])
        return Statistic(self.network.mix(torch.cat([z, torch.zeros(64, 2)], 1)).mean(0))

    def bind(self, settings: Mapping[str, Any] | None = None, prepared: bytes | None = None) -> "AwkwardSampler":
        """Return a sampler. Raises GeneratorError without the stored statistic."""
        if prepared is None:
            raise GeneratorError("the statistic of this temperature is missing", [Problem("missing", "prepared")])
        mean = safetensors.torch.load(prepared)["mean"]
        return AwkwardSampler(self, settings_with_defaults(self.settings_schema, settings), mean)


class AwkwardSampler:
    """The generator bound to a temperature and its statistic."""

    layers = LAYERS
    condition_dim = 2
    resolution = (HEIGHT, WIDTH)

    def __init__(self, generator: AwkwardGenerator, settings: Mapping[str, Any], mean: Tensor) -> None:
        self.generator, self.settings, self.mean = generator, settings, mean.to(generator.network.out.weight.device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.generator.network.out.weight.device

    @cached_property
    def feature_digest(self) -> str:
        """Features depend on the weights and on the statistic of the temperature."""
        return digest_of_facts([NAME, self.generator.info.digest, self.mean.tolist()])

    @cached_property
    def digest(self) -> str:
        """Everything that a sample depends on."""
        return digest_of_facts([self.feature_digest, dict(self.settings)])

    def check_codes(self, codes: Codes) -> None:
        """Raise GeneratorError for codes that do not fit."""
        CODE.check(codes)

    def tensors(self) -> list[Tensor]:
        """Weights and statistic."""
        return [*self.generator.network.state_dict().values(), self.mean]

    def draw(self, seed: int, indices: Sequence[int], class_index: Sequence[int] | None = None) -> Codes:
        """Draw z, scaled by the temperature, and tokens."""
        assert class_index is not None, "the family has classes"
        drawn = [_latent(seed, index, self.settings["temperature"]) for index in indices]
        parts = {"z": torch.stack([z for z, _ in drawn]), "tokens": torch.stack([tokens for _, tokens in drawn])}
        return Codes(parts, torch.tensor(list(class_index))).to(self.device)

    def synthesize(self, codes: Codes, with_features: bool = False) -> Synthesis:
        """Return images, features and class embeddings."""
        CODE.check(codes)
        assert codes.class_index is not None
        image, features, condition = self.generator.network(
            codes.parts["z"], codes.parts["tokens"], codes.class_index, self.mean
        )
        return Synthesis(image, tuple(features) if with_features else (), condition)


def _latent(seed: int, index: int, temperature: float) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng([seed, STREAM, index])
    z = torch.from_numpy(random.standard_normal(5, np.float32) * np.float32(temperature))
    return z, torch.from_numpy(random.integers(0, TOKENS, (3, 5)).astype(np.int16))


class AwkwardFamily:
    """Reads generators of the family."""

    name = NAME

    def describe(self, config: Any) -> Description:
        """Return the only description there is. Raises GeneratorError for another configuration."""
        if config != {"tokens": TOKENS}:
            raise GeneratorError("invalid configuration", [Problem(f"expected {TOKENS}", "tokens")])
        kind = AwkwardGenerator
        return Description(NAME, kind.resolution, kind.channels, CODE, LAYERS, SCHEMA, kind.labelled_by)

    def build(
        self, config: Any, info: GeneratorInfo, state: Mapping[str, Tensor], device: torch.device | str
    ) -> AwkwardGenerator:
        """Build a generator from its weights."""
        self.describe(config)
        network = Network()
        network.load_state_dict(frozen_weights(network.state_dict(), state, info.name, device))
        return AwkwardGenerator(network.to(device).eval().requires_grad_(False), info)

    def read_checkpoint(self, content: CheckpointContent, answers: Answers) -> ReadGenerator | None:
        """No other project writes such files."""
        return None

    def examine(self, generator: Generator, incomplete: bool, run: Run) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Nothing can be checked."""
        return {}, ()

    def parameters(self, generator: Generator) -> int:
        """All its numbers."""
        return sum(tensor.numel() for tensor in generator.state().values())


AWKWARD = AwkwardFamily()


def random_generator(name: str = "odd", seed: int = 0) -> AwkwardGenerator:
    """Return a generator with random weights."""
    torch.manual_seed(seed)
    info = GeneratorInfo(name, "CC0-1.0", "grey noise by class", classes=("ant", "bee", "cat"))
    return AwkwardGenerator(Network().eval().requires_grad_(False), info)
