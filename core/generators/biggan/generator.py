"""BigGAN as a generator of the library: a code is a z and a class; truncation changes z and the statistics."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor
from torch.func import functional_call

from core.errors import GeneratorError, Problem
from core.generators.biggan import settings as names
from core.generators.biggan.config import BigGANConfig
from core.generators.biggan.network import IMAGE_CHANNELS, Network, feature_layers
from core.generators.biggan.settings import settings_schema
from core.generators.biggan.statistics import Statistics, standing_statistics, tabulated_statistics
from core.generators.interface import (
    Codes,
    CodeSpec,
    Description,
    GeneratorInfo,
    LabelledBy,
    PartSpec,
    Synthesis,
    digest_of_facts,
    schema_with_defaults,
    settings_with_defaults,
)
from core.run import Run

NAME = "biggan"
Z = "z"
LABELLED_BY: frozenset[LabelledBy] = frozenset({"samples"})
LATENT_STREAM, STANDING_STREAM = 20, 21
"""Separate these random numbers from others of the same seed."""
#: Deviations at which a truncated normal distribution ends.
_CUT = 2.0
#: Passes of a measurement of standing statistics.
_STANDING_BATCHES = 16
#: Images of one pass: as many as keep the largest layer below so many numbers, within these bounds.
_STANDING_NUMBERS, _FEWEST, _MOST = 1 << 28, 4, 32


def truncated_normal(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values of a standard normal distribution that is cut off at 2 deviations, from uniform ones in [0, 1)."""
    low, high = ndtr(-_CUT), ndtr(_CUT)
    found: NDArray[np.float64] = ndtri(low + uniform * (high - low))
    return found


def latent(random: np.random.Generator, z_dim: int, settings: Mapping[str, Any]) -> Tensor:
    """Return one z as the settings say, float32 [z_dim]."""
    if settings["distribution"] == names.TRUNCATED:
        drawn = truncated_normal(random.random(z_dim)).astype(np.float32)
    else:
        drawn = random.standard_normal(z_dim, np.float32)
    return torch.from_numpy(drawn * np.float32(settings["truncation"]))


def describe(config: BigGANConfig) -> Description:
    """Return what the service needs to know of a configuration."""
    return Description(
        family=NAME,
        resolution=(config.side, config.side),
        channels=IMAGE_CHANNELS,
        code=code_spec(config),
        layers=feature_layers(config),
        settings_schema=settings_schema(config),
        labelled_by=LABELLED_BY,
    )


def code_spec(config: BigGANConfig) -> CodeSpec:
    """Return the specification of the codes: z as it enters the network, and the class."""
    return CodeSpec({Z: PartSpec((config.z_dim,))}, classes=config.classes, needs_class=True)


class BigGANGenerator:
    """A frozen network with its facts."""

    family = NAME
    channels = IMAGE_CHANNELS
    labelled_by = LABELLED_BY

    def __init__(self, network: Network, info: GeneratorInfo | None = None) -> None:
        self.network = network
        self.info = info or GeneratorInfo("")
        config = network.config
        self.resolution = (config.side, config.side)
        self.code = code_spec(config)
        self.layers = feature_layers(config)
        self.settings_schema = schema_with_defaults(settings_schema(config), self.info)
        # Other truncations need standing statistics, which takes hundreds of images; a table has them all.
        truncations = (0.4, 0.7, 1.0) if self._tabulated else (1.0,)
        self.preview_settings: Sequence[Mapping[str, float]] = tuple({"truncation": one} for one in truncations)

    @property
    def _tabulated(self) -> bool:
        return self.network.config.statistics > 1

    def with_info(self, info: GeneratorInfo) -> "BigGANGenerator":
        """Return the same network with other facts."""
        return BigGANGenerator(self.network, info)

    def config_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        return self.network.config.to_json()

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights by name."""
        return self.network.state_dict()

    def prepare(self, settings: Mapping[str, Any], run: Run) -> Statistics | None:
        """Measure standing statistics over 16 batches of random z and classes; None where the settings need none."""
        complete = settings_with_defaults(self.settings_schema, settings)
        if not self._needs_standing(complete):
            return None
        return standing_statistics(self.network, self._standing_batches(complete, run), run)

    def _needs_standing(self, settings: Mapping[str, Any]) -> bool:
        if self._tabulated or settings["statistics"] == names.STORED:
            return False
        return bool(settings["statistics"] == names.STANDING or settings["truncation"] != 1)

    def _standing_batches(self, settings: Mapping[str, Any], run: Run) -> Iterator[tuple[Tensor, Tensor]]:
        config, device = self.network.config, self.network.linear.weight.device
        largest = max(layer.channels * layer.height * layer.width for layer in self.layers)
        size = min(_MOST, max(_FEWEST, _STANDING_NUMBERS // largest))
        for batch in range(_STANDING_BATCHES):
            run.progress(batch, _STANDING_BATCHES)
            random = np.random.default_rng([0, STANDING_STREAM, batch])
            z = torch.stack([latent(random, config.z_dim, settings) for _ in range(size)])
            yield z.to(device), torch.from_numpy(random.integers(config.classes, size=size)).to(device)
        run.progress(_STANDING_BATCHES, _STANDING_BATCHES)

    def bind(self, settings: Mapping[str, Any] | None = None, prepared: bytes | None = None) -> "BigGANSampler":
        """Return a sampler. Raises :class:`core.errors.GeneratorError` for settings outside of the schema, and where
        the statistics of :meth:`prepare` are needed and missing.
        """
        complete = settings_with_defaults(self.settings_schema, settings)
        if self._tabulated:
            swapped = complete["interpolation"] == names.PUBLISHED
            statistics = tabulated_statistics(self.network, complete["truncation"], swapped)
        elif not self._needs_standing(complete):
            statistics = Statistics({})
        elif prepared is None:
            problem = Problem("missing: call prepare with these settings", "prepared")
            raise GeneratorError("this truncation needs standing statistics", [problem])
        else:
            statistics = Statistics.from_bytes(prepared, self.network)
        return BigGANSampler(self, complete, statistics)


class BigGANSampler:
    """A BigGAN generator bound to a truncation and its statistics."""

    def __init__(self, generator: BigGANGenerator, settings: Mapping[str, Any], statistics: Statistics) -> None:
        self.generator, self.settings, self._statistics = generator, settings, statistics
        self.layers, self.resolution = generator.layers, generator.resolution
        config = generator.network.config
        self.condition_dim = config.shared_dim or config.classes

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.generator.network.linear.weight.device

    @cached_property
    def feature_digest(self) -> str:
        """SHA-256 (hex) of weights and statistics: features of a given code depend on nothing else."""
        return digest_of_facts([NAME, self.generator.info.digest, self._statistics.digest, "float32"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that a drawn sample depends on."""
        return digest_of_facts([self.feature_digest, dict(self.settings)])

    def check_codes(self, codes: Codes) -> None:
        """Raise :class:`core.errors.GeneratorError` for codes that do not fit."""
        self.generator.code.check(codes)

    def tensors(self) -> list[Tensor]:
        """Return weights and statistics in their order."""
        statistics = self._statistics.tensors
        return [*self.generator.network.state_dict().values(), *(statistics[name] for name in sorted(statistics))]

    def draw(self, seed: int, indices: Sequence[int], class_index: Sequence[int] | None = None) -> Codes:
        """Return z and class of samples of the stream. Raises :class:`core.errors.GeneratorError` without classes."""
        if class_index is None:
            raise GeneratorError("a sample of this generator needs a class", [Problem("missing", "class_index")])
        z_dim = self.generator.network.config.z_dim
        streams = (np.random.default_rng([seed, LATENT_STREAM, index]) for index in indices)
        z = torch.stack([latent(random, z_dim, self.settings) for random in streams])
        return Codes({Z: z}, torch.tensor(list(class_index), dtype=torch.long)).to(self.device)

    def synthesize(self, codes: Codes, with_features: bool = False) -> Synthesis:
        """Codes → images, and on request features. Raises :class:`core.errors.GeneratorError` without classes."""
        if codes.class_index is None:
            raise GeneratorError("a code of this generator needs a class", [Problem("missing", "class_index")])
        inputs = (codes.parts[Z], codes.class_index)
        drawn = functional_call(self.generator.network, self._statistics.tensors, inputs)
        return Synthesis(drawn.image, tuple(drawn.features) if with_features else (), drawn.condition)
