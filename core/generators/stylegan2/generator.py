"""StyleGAN2 as a generator of the library: codes are w+, drawn with truncation, fitted to photographs by gradient."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import GeneratorError, InversionError, Problem
from core.generators.interface import (
    Codes,
    CodeSpec,
    Description,
    FeatureLayer,
    GeneratorInfo,
    LabelledBy,
    PartSpec,
    Synthesis,
    digest_of_facts,
    schema_with_defaults,
    settings_with_defaults,
)
from core.generators.stylegan2 import aliases
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network, Noise, StyledConv, feature_layers
from core.generators.stylegan2.settings import SETTINGS_SCHEMA
from core.run import Run

NAME = "stylegan2"
W_PLUS = "w_plus"
LABELLED_BY: frozenset[LabelledBy] = frozenset({"inversion", "encoder", "samples"})
LATENT_STREAM = 10
"""Separates these random numbers from others of the same seed."""


def latent(seed: int, index: int, z_dim: int) -> Tensor:
    """Return the z of sample ``index``: standard normal, float32 [z_dim], from (seed, index) alone."""
    random = np.random.default_rng([seed, LATENT_STREAM, index])
    return torch.from_numpy(random.standard_normal(z_dim, np.float32))


def describe(config: StyleGAN2Config) -> Description:
    """Return what the service needs to know of a configuration."""
    return Description(
        family=NAME,
        resolution=config.resolution,
        channels=config.image_channels,
        code=code_spec(config),
        layers=feature_layers(config),
        settings_schema=SETTINGS_SCHEMA,
        labelled_by=LABELLED_BY,
    )


def code_spec(config: StyleGAN2Config) -> CodeSpec:
    """Return the specification of w+ codes."""
    return CodeSpec({W_PLUS: PartSpec((config.num_ws, config.w_dim), drawn_rows=1)}, config.c_dim)


class StyleGAN2Generator:
    """A frozen network with its facts. ``info.options``: ``noise``, "const" or "none", how it is synthesised;
    ``space``, "w" for one that was trained with one code for all layers.
    """

    family = NAME
    labelled_by = LABELLED_BY
    preview_settings: Sequence[Mapping[str, float]] = tuple({"truncation_psi": psi} for psi in (0.5, 0.7, 1.0))

    def __init__(self, network: Network, info: GeneratorInfo | None = None) -> None:
        self.network = network
        self.info = info or GeneratorInfo("")
        _check_options(self.info.options)
        self.settings_schema = schema_with_defaults(SETTINGS_SCHEMA, self.info)
        self.resolution = network.config.resolution
        self.channels = network.config.image_channels
        self.code = code_spec(network.config)
        self.layers: tuple[FeatureLayer, ...] = network.feature_layers

    @property
    def noise(self) -> Noise:
        """How the network is synthesised unless noise maps are given."""
        return "none" if self.info.options.get("noise") == "none" else "const"

    def with_info(self, info: GeneratorInfo) -> "StyleGAN2Generator":
        """Return the same network with other facts."""
        return StyleGAN2Generator(self.network, info)

    def config_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        return self.network.config.to_json()

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights by name."""
        return self.network.state_dict()

    def prepare(self, settings: Mapping[str, Any], run: Run) -> None:  # noqa: ARG002 - nothing depends on settings
        """Return None: truncation needs the stored mean code only."""
        return

    def bind(self, settings: Mapping[str, Any] | None = None, prepared: bytes | None = None) -> "StyleGAN2Sampler":  # noqa: ARG002
        """Return a sampler. Raises :class:`core.errors.GeneratorError` for settings outside of the schema."""
        return StyleGAN2Sampler(self, settings_with_defaults(self.settings_schema, settings))


def _check_options(options: Mapping[str, Any]) -> None:
    known = {"noise": ("const", "none"), "space": (aliases.ROW_EACH, aliases.ONE_ROW)}
    problems = [Problem("unknown option", f"info.options.{name}") for name in sorted(options.keys() - known.keys())]
    problems += [
        Problem(f"expected one of {', '.join(values)}, found {options[name]!r}", f"info.options.{name}")
        for name, values in known.items()
        if options.get(name, values[0]) not in values
    ]
    if problems:
        raise GeneratorError("invalid generator facts", problems)


class StyleGAN2Sampler:
    """A StyleGAN2 generator bound to a truncation. Synthesis does not depend on the truncation."""

    def __init__(self, generator: StyleGAN2Generator, settings: Mapping[str, Any]) -> None:
        self.generator = generator
        self.settings = settings
        self.layers = generator.layers
        self.condition_dim = 0
        self.resolution = generator.resolution
        config = generator.network.config
        self.rows, self.width = config.num_ws, config.w_dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.generator.network.w_avg.device

    @cached_property
    def feature_digest(self) -> str:
        """SHA-256 (hex) of weights and noise mode: features of a given code depend on nothing else."""
        return digest_of_facts([NAME, self.generator.info.digest, self.generator.noise, "float32"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that a drawn sample depends on."""
        return digest_of_facts([self.feature_digest, dict(self.settings)])

    def check_codes(self, codes: Codes) -> None:
        """Raise :class:`core.errors.GeneratorError` for codes that do not fit."""
        self.generator.code.check(codes)

    def tensors(self) -> list[Tensor]:
        """Return the weights in their order."""
        return list(self.generator.network.state_dict().values())

    @torch.no_grad()
    def draw(self, seed: int, indices: Sequence[int], class_index: Sequence[int] | None = None) -> Codes:
        """Return w+ codes [N, num_ws, w_dim] of samples of the stream, truncated as the settings say."""
        network, config = self.generator.network, self.generator.network.config
        z = torch.stack([latent(seed, index, config.z_dim) for index in indices]).to(self.device)
        classes = None if class_index is None else torch.tensor(list(class_index), device=self.device)
        c = None if classes is None else F.one_hot(classes, config.c_dim).float()
        psi, cutoff = self.settings["truncation_psi"], self.settings["truncation_cutoff"]
        return Codes({W_PLUS: network.map(z, c, psi, cutoff).contiguous()}, classes)

    def synthesize(self, codes: Codes, with_features: bool = False) -> Synthesis:
        """w+ codes → images and features. Raises :class:`core.errors.GeneratorError` for codes that do not fit."""
        return self.generator.network.synthesize(codes.parts[W_PLUS], self.generator.noise, with_features)

    @property
    def one_row(self) -> bool:
        """True for a generator that was trained with one code for all layers."""
        return self.generator.info.options.get("space") == aliases.ONE_ROW

    @property
    def centre(self) -> Tensor:
        """The mean code w_avg, float [w_dim]."""
        return self.generator.network.w_avg

    @torch.no_grad()
    def random_rows(self, count: int, seed: int) -> Tensor:
        """Mapped codes w [count, w_dim] of random latents, and of random classes where the generator has classes."""
        network = self.generator.network
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(count, network.config.z_dim, generator=random).to(self.device)
        classes = network.config.c_dim
        drawn = torch.randint(classes, (count,), generator=random) if classes else None
        c = None if drawn is None else F.one_hot(drawn, classes).float().to(self.device)
        return network.map(z, c)[:, 0]

    def free_part(self, codes: Codes) -> Tensor:
        """Return w+ [N, num_ws, w_dim]."""
        return codes.parts[W_PLUS]

    def codes_of(self, free: Tensor) -> Codes:
        """Return codes with the given w+. The class of a fitted code is unknown: none is stored."""
        return Codes({W_PLUS: free})

    def image_of(self, free: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """w+ [N, num_ws, w_dim] → images, with the given noise maps where there are any."""
        return self.generator.network.synthesize(free, maps or self.generator.noise).image

    def noise_maps(self, count: int) -> tuple[Tensor, ...]:
        """Return the generator's own noise, [count, 1, h, w] a convolution. Raises :class:`InversionError` for a
        generator without noise.
        """
        convs = [module for module in self.generator.network.modules() if isinstance(module, StyledConv)]
        if self.generator.noise == "none" or not any(bool(conv.noise_strength != 0) for conv in convs):
            problem = Problem("the generator is synthesised without noise: there is nothing to fit", "fit_noise")
            raise InversionError("this generator has no noise", [problem])
        return tuple(conv.noise[None, None].expand(count, -1, -1, -1).clone() for conv in convs)
