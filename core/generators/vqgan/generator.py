"""VQGAN as a generator of the library: codes are tokens on a grid, drawn by the transformer, or encoded from images."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import GeneratorError, Problem
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
from core.generators.vqgan.config import VQGANConfig
from core.generators.vqgan.first_stage import FirstStage
from core.generators.vqgan.settings import settings_schema
from core.generators.vqgan.transformer import Cache, Transformer, chosen, filtered
from core.run import Run

NAME = "vqgan"
TOKENS = "tokens"
TOKEN_STREAM = 12
"""Separates these random numbers from others of the same seed."""


class Network(nn.Module):
    """First stage, and the transformer if there is one."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.first_stage = FirstStage(config)
        self.transformer = Transformer(config.transformer, config.codes) if config.transformer is not None else None


def describe(config: VQGANConfig) -> Description:
    """Return what the service needs to know of a configuration."""
    return Description(
        family=NAME,
        resolution=(config.resolution, config.resolution),
        channels=config.channels,
        code=code_spec(config),
        layers=feature_layers(config),
        settings_schema=settings_schema(config.codes),
        labelled_by=labelled_by(config),
    )


def labelled_by(config: VQGANConfig) -> frozenset[LabelledBy]:
    """Return how labelled images get their codes: by the encoder, and with a transformer by labelling samples."""
    return frozenset({"encoder", "samples"}) if config.transformer is not None else frozenset({"encoder"})


def code_spec(config: VQGANConfig) -> CodeSpec:
    """Return the specification of the tokens."""
    part = PartSpec((config.grid, config.grid), "int16")
    return CodeSpec({TOKENS: part}, config.classes, needs_class=config.transformer is not None)


def feature_layers(config: VQGANConfig) -> tuple[FeatureLayer, ...]:
    """Return the layers: every fourth of the transformer on the grid, then the decoder's, coarse ones first."""
    grid, transformer = config.grid, config.transformer
    found = []
    if transformer is not None:
        for number in transformer.feature_layers:
            found.append(FeatureLayer(f"transformer.{number}", transformer.width, grid, grid))
    levels = len(config.multipliers)
    found.append(FeatureLayer("decoder.mid", config.level_width(-1), grid, grid))
    for level in reversed(range(levels)):
        side = config.resolution >> level
        for block in range(config.blocks + 1):
            found.append(FeatureLayer(f"decoder.up.{level}.{block}", config.level_width(level), side, side))
    return tuple(found)


class VQGANGenerator:
    """A frozen network with its facts."""

    family = NAME
    preview_settings: Sequence[Mapping[str, float]] = tuple({"top_p": share} for share in (0.5, 0.92, 1.0))

    def __init__(self, network: Network, info: GeneratorInfo | None = None) -> None:
        self.network, self.info = network, info or GeneratorInfo("")
        config = network.config
        self.resolution = config.resolution, config.resolution
        self.channels = config.channels
        self.code = code_spec(config)
        self.layers = feature_layers(config)
        self.settings_schema = schema_with_defaults(settings_schema(config.codes), self.info)
        self.labelled_by = labelled_by(config)

    def with_info(self, info: GeneratorInfo) -> "VQGANGenerator":
        """Return the same network with other facts."""
        return VQGANGenerator(self.network, info)

    def config_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        return self.network.config.to_json()

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights by name."""
        return self.network.state_dict()

    def prepare(self, settings: Mapping[str, Any], run: Run) -> None:  # noqa: ARG002 - nothing depends on settings
        """Return None: settings change the draw alone."""
        return

    def bind(self, settings: Mapping[str, Any] | None = None, prepared: bytes | None = None) -> "VQGANSampler":  # noqa: ARG002
        """Return a sampler. Raises :class:`core.errors.GeneratorError` for settings outside of the schema."""
        return VQGANSampler(self, settings_with_defaults(self.settings_schema, settings))


class VQGANSampler:
    """A VQGAN bound to the settings of its transformer. Synthesis does not depend on them."""

    def __init__(self, generator: VQGANGenerator, settings: Mapping[str, Any]) -> None:
        self.generator, self.settings = generator, settings
        self.layers, self.resolution = generator.layers, generator.resolution
        transformer = generator.network.config.transformer
        self.condition_dim = 0 if transformer is None else transformer.width

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.generator.network.first_stage.post_quant_conv.weight.device

    @cached_property
    def feature_digest(self) -> str:
        """SHA-256 (hex) of the weights: features of given tokens depend on nothing else."""
        return digest_of_facts([NAME, self.generator.info.digest, "float32"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that a drawn sample depends on."""
        return digest_of_facts([self.feature_digest, dict(self.settings)])

    def check_codes(self, codes: Codes) -> None:
        """Raise :class:`core.errors.GeneratorError` for codes of another grid or tokens outside of the codebook."""
        self.generator.code.check(codes)
        tokens, most = codes.parts[TOKENS], self.generator.network.config.codes
        if tokens.numel() and not bool(((tokens >= 0) & (tokens < most)).all()):
            detail = f"expected numbers from 0 to {most - 1}, found {int(tokens.min())} to {int(tokens.max())}"
            raise GeneratorError("codes do not fit this generator", [Problem(detail, TOKENS)])

    def tensors(self) -> list[Tensor]:
        """Return the weights in their order."""
        return list(self.generator.network.state_dict().values())

    @torch.no_grad()
    def draw(self, seed: int, indices: Sequence[int], class_index: Sequence[int] | None = None) -> Codes:
        """Return tokens int16 [N, h, w] of samples of the stream, one token after another with cached attention.

        Rounding in a batch of another size can change a token: the returned code is the truth, not the seed. Raises
        :class:`core.errors.GeneratorError` for a first stage alone, and without classes.
        """
        transformer, config = self.generator.network.transformer, self.generator.network.config
        if transformer is None:
            detail = "this generator is a first stage: it encodes and decodes images; import a file with a transformer"
            raise GeneratorError("a VQGAN without a transformer cannot draw samples", [Problem(detail, "transformer")])
        if class_index is None:
            detail = f"expected a class from 0 to {config.classes - 1} for each sample"
            raise GeneratorError("this generator draws by class", [Problem(detail, "class_index")])
        classes = torch.tensor(list(class_index), device=self.device)
        numbers = torch.from_numpy(np.stack([_numbers(seed, index, config.grid**2) for index in indices]))
        tokens = drawn_tokens(transformer, classes, numbers.to(self.device), self.settings)
        grid = tokens.reshape(-1, config.grid, config.grid).to(torch.int16)
        return Codes({TOKENS: grid}, classes)

    @torch.no_grad()
    def encode(self, images: Tensor, class_index: Sequence[int] | None = None) -> Codes:
        """Images float [N, C, H, W] in [-1, 1] → their codes. A grey generator gets the mean of the colours.

        class_index: one for each image, for a generator with a transformer, whose features depend on the class. Raises
        :class:`core.errors.GeneratorError` for images of another size, or without classes where codes need them.
        """
        height, width = self.resolution
        if images.shape[2:] != (height, width):
            detail = f"expected {height} x {width} pixels, found {images.shape[2]} x {images.shape[3]}"
            raise GeneratorError("images do not fit this generator", [Problem(detail, "images")])
        if self.generator.channels == 1:
            images = images.mean(1, keepdim=True)
        tokens = self.generator.network.first_stage.encode(images.to(self.device)).to(torch.int16)
        classes = None if class_index is None else torch.tensor(list(class_index), device=self.device)
        codes = Codes({TOKENS: tokens}, classes)
        self.check_codes(codes)
        return codes

    def synthesize(self, codes: Codes, with_features: bool = False) -> Synthesis:
        """Tokens → images, and on request features. Raises :class:`core.errors.GeneratorError` for codes that do not
        fit.
        """
        self.check_codes(codes)
        network, tokens = self.generator.network, codes.parts[TOKENS].long()
        image, decoded = network.first_stage.decode(tokens)
        if network.transformer is None:
            return Synthesis(image, decoded if with_features else ())
        assert codes.class_index is not None, "check_codes asks for it"
        condition = network.transformer.tok_emb(codes.class_index)
        if not with_features:
            return Synthesis(image, (), condition)
        return Synthesis(image, (*token_states(network.transformer, codes.class_index, tokens), *decoded), condition)


def drawn_tokens(transformer: Transformer, classes: Tensor, numbers: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Draw tokens int64 [N, T]. classes: int64 [N]. numbers: float64 [N, T] in [0, 1), one for each token. settings:
    temperature, top_k and top_p.
    """
    count, length = numbers.shape
    cache = Cache.empty(transformer.config, count, length, transformer.pos_emb)
    last, found = classes, []
    for position in range(length):
        logits = transformer.next_logits(last, cache)
        chance = filtered(logits, settings["temperature"], settings["top_k"], settings["top_p"])
        last = chosen(chance, numbers[:, position])
        found.append(last)
    return torch.stack(found, 1)


def token_states(transformer: Transformer, classes: Tensor, tokens: Tensor) -> list[Tensor]:
    """Return states float [N, width, h, w] of the feature layers. classes: int64 [N]; tokens: int64 [N, h, w].

    The state at a cell is the one that predicts its token: it has read the class and the tokens before. The states
    that have read their own token do not exist for the last cell of published models, which read 256 positions.
    """
    sequence = torch.cat([classes[:, None], tokens.flatten(1)[:, :-1]], 1)
    states = transformer.states(sequence)
    shape = len(tokens), -1, *tokens.shape[1:]
    return [states[number].transpose(1, 2).reshape(shape) for number in transformer.config.feature_layers]


def _numbers(seed: int, index: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng([seed, TOKEN_STREAM, index]).random(count)
