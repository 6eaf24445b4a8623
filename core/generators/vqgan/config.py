"""Shape of a VQGAN, without its weights. Torch-free."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from core.errors import GeneratorError, Problem

Quantizer = Literal["nearest", "gumbel"]
"""Rule for the code of a feature: the nearest vector of the codebook, or the largest logit of a 1x1 convolution."""
GROUPS = 32
"""Groups of every normalisation; widths are multiples of it."""
_MOST_LEVELS, _MOST = 12, 1 << 16


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the transformer that draws tokens: class, then tokens in rows from the top left."""

    layers: int
    width: int
    heads: int
    positions: int
    """Positions that it can read: at least the number of tokens."""

    @property
    def feature_layers(self) -> tuple[int, ...]:
        """Indices of the layers whose states are features: every fourth (Li et al. 2022, appendix A)."""
        return tuple(range(3, self.layers, 4)) or (self.layers - 1,)


@dataclass(frozen=True)
class VQGANConfig:
    """Shape of a VQGAN: first stage (encoder, codebook, decoder) and transformer. Every problem is found at
    construction and raised in one :class:`GeneratorError`.
    """

    resolution: int
    """Side of the square images in pixels."""
    width: int
    """Channels of the finest level, before its multiplier."""
    multipliers: tuple[int, ...]
    """Channels of each level in units of ``width``, finest level first; each level but the last halves the size."""
    blocks: int
    """Residual blocks of a level of the encoder; the decoder has one more."""
    attention: tuple[int, ...]
    """Levels whose blocks are followed by attention, counted from the finest."""
    latent_channels: int
    """Channels between the encoder and the projection to codes."""
    code_width: int
    """Length of the codebook's vectors."""
    codes: int
    """Vectors of the codebook."""
    quantizer: Quantizer = "nearest"
    channels: int = 3
    """Colour channels."""
    classes: int = 0
    """Classes of the transformer; 0 without one."""
    transformer: TransformerConfig | None = None
    """None for a first stage alone, which encodes and decodes and cannot draw."""

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise GeneratorError("invalid VQGAN configuration", problems)

    @property
    def grid(self) -> int:
        """Side of the square grid of tokens."""
        return self.resolution >> (len(self.multipliers) - 1)

    def level_width(self, level: int) -> int:
        """Channels of a level, counted from the finest."""
        return self.width * self.multipliers[level]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads."""
        values = asdict(self)
        return values | {name: list(values[name]) for name in ("multipliers", "attention")}

    @classmethod
    def from_json(cls, values: Any) -> "VQGANConfig":
        """Read what :meth:`to_json` wrote. Raises :class:`GeneratorError` that names every wrong field."""
        if not isinstance(values, Mapping):
            raise GeneratorError("invalid VQGAN configuration", [Problem("expected a JSON object", "config")])
        problems = _field_problems(cls, values, "")
        transformer = values.get("transformer")
        if transformer is not None:
            if isinstance(transformer, Mapping):
                problems += _field_problems(TransformerConfig, transformer, "transformer.")
            else:
                problems.append(Problem("expected a JSON object", "transformer"))
        if problems:
            raise GeneratorError("invalid VQGAN configuration", problems)
        given = dict(values)
        for name in ("multipliers", "attention"):
            given[name] = tuple(given[name]) if isinstance(given[name], list) else given[name]
        if transformer is not None:
            given["transformer"] = TransformerConfig(**transformer)
        return cls(**given)


def _field_problems(
    kind: type[VQGANConfig | TransformerConfig], values: Mapping[str, Any], place: str
) -> list[Problem]:
    known = {one.name for one in fields(kind)}
    optional = {"quantizer", "channels", "classes", "transformer"}
    found = [Problem("unknown field", f"{place}{name}") for name in sorted(set(map(str, values)) - known)]
    return found + [Problem("missing", f"{place}{name}") for name in sorted(known - optional - values.keys())]


def _is_count(value: Any, least: int = 1, most: int = _MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _problems(config: VQGANConfig) -> list[Problem]:
    found = []
    names = ("resolution", "width", "blocks", "latent_channels", "code_width")
    for name in names:
        if not _is_count(getattr(config, name)):
            found.append(Problem(f"expected a whole number from 1 to {_MOST}, found {getattr(config, name)!r}", name))
    if not _is_count(config.codes, 2, 1 << 15):
        found.append(Problem(f"expected a whole number from 2 to {1 << 15}, found {config.codes!r}", "codes"))
    if config.channels not in (1, 3):
        found.append(Problem(f"expected 1 or 3, found {config.channels!r}", "channels"))
    if config.quantizer not in get_args(Quantizer):
        expected = ", ".join(get_args(Quantizer))
        found.append(Problem(f"expected one of {expected}, found {config.quantizer!r}", "quantizer"))
    levels = config.multipliers
    if not isinstance(levels, tuple) or not 1 <= len(levels) <= _MOST_LEVELS or not all(map(_is_count, levels)):
        found.append(Problem(f"expected 1 to {_MOST_LEVELS} whole numbers ≥ 1, found {levels!r}", "multipliers"))
    if found:
        return found
    return _joint_problems(config) + _transformer_problems(config)


def _joint_problems(config: VQGANConfig) -> list[Problem]:
    found, levels = [], config.multipliers
    if config.width % GROUPS:
        found.append(Problem(f"expected a multiple of {GROUPS}, found {config.width}", "width"))
    if config.resolution % (1 << (len(levels) - 1)):
        detail = f"expected a multiple of {1 << (len(levels) - 1)}, found {config.resolution}"
        found.append(Problem(detail, "resolution"))
    attention = config.attention
    if not isinstance(attention, tuple) or not all(_is_count(level, 0, len(levels) - 1) for level in attention):
        found.append(Problem(f"expected levels from 0 to {len(levels) - 1}, found {attention!r}", "attention"))
    return found


def _transformer_problems(config: VQGANConfig) -> list[Problem]:
    found, transformer = [], config.transformer
    if transformer is None:
        if config.classes:
            found.append(Problem(f"expected 0 without a transformer, found {config.classes!r}", "classes"))
        return found
    for name in ("layers", "width", "heads", "positions"):
        value = getattr(transformer, name)
        if not _is_count(value):
            found.append(Problem(f"expected a whole number from 1 to {_MOST}, found {value!r}", f"transformer.{name}"))
    if not _is_count(config.classes, 1, config.codes):
        detail = f"expected a whole number from 1 to {config.codes} (classes share the token table)"
        found.append(Problem(f"{detail}, found {config.classes!r}", "classes"))
    if found:
        return found
    if transformer.width % transformer.heads:
        detail = f"expected a divisor of the width {transformer.width}, found {transformer.heads}"
        found.append(Problem(detail, "transformer.heads"))
    if transformer.positions < config.grid**2:
        detail = f"expected at least {config.grid**2}, one for each token, found {transformer.positions}"
        found.append(Problem(detail, "transformer.positions"))
    return found
