"""What a StyleGAN2 generator looks like, without its weights. Torch-free: read and judged anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from core.errors import GeneratorError, Problem

Architecture = Literal["skip", "resnet", "orig"]
"""How a block reaches the image (Karras et al. 2020, figure 7): each adds colours of its own; each adds its features to
those of the block before, and the last turns them into colours; or the last turns into colours what is left.
"""


Space = Literal["w_plus", "w"]
"""Where codes of images lie: one code a layer, or one for all layers."""


@dataclass(frozen=True)
class StyleGAN2Config:
    """Shape of a StyleGAN2 generator (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

    Sizes are ``(height, width)`` in pixels. Block ``k`` works at ``const_size * 2**k``; the last draws ``resolution``.
    Every problem is found at construction and told in one :class:`GeneratorError`.
    """

    resolution: tuple[int, int]
    """Size of the drawn image: ``const_size * 2**(len(channels) - 1)``."""
    channels: Mapping[int, int] = field(hash=False)
    """Block index → feature channels of that block; block 0 holds the learned constant. Any positive numbers."""
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    """Length of the class vector; 0 for an unconditional generator."""
    const_size: tuple[int, int] = (4, 4)
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    conv_clamp: float | None = None
    """Absolute limit of every convolution's and every to-RGB layer's output; None for none."""
    architecture: Architecture = "skip"
    image_channels: int = 3

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise GeneratorError("invalid StyleGAN2 configuration", problems)
        object.__setattr__(self, "resolution", tuple(self.resolution))
        object.__setattr__(self, "const_size", tuple(self.const_size))
        object.__setattr__(self, "channels", dict(sorted(self.channels.items())))

    @property
    def blocks(self) -> int:
        """Number of synthesis blocks."""
        return len(self.channels)

    @property
    def num_ws(self) -> int:
        """Rows of a w+ code: one a convolution, and one more for the last to-RGB layer."""
        return 2 * self.blocks

    def block_size(self, block: int) -> tuple[int, int]:
        """(height, width) at which block ``block`` works."""
        return self.const_size[0] << block, self.const_size[1] << block

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write and :meth:`from_json` reads back."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["resolution"], values["const_size"] = list(self.resolution), list(self.const_size)
        values["channels"] = {str(block): count for block, count in self.channels.items()}
        return values

    @classmethod
    def from_json(cls, values: Any) -> "StyleGAN2Config":
        """The configuration that :meth:`to_json` wrote. Raises :class:`GeneratorError` naming every wrong field."""
        if not isinstance(values, dict):
            raise GeneratorError("a generator configuration is a JSON object", [Problem("not an object", "config")])
        known = {f.name for f in fields(cls)}
        problems = [Problem("unknown field", str(name)) for name in sorted(set(map(str, values)) - known)]
        problems += [Problem("missing", name) for name in ("resolution", "channels") if name not in values]
        if problems:
            raise GeneratorError("invalid StyleGAN2 configuration", problems)
        values = dict(values)
        if isinstance(values["channels"], dict):
            values["channels"] = {_block_index(block): count for block, count in values["channels"].items()}
        return cls(**values)


def _block_index(text: Any) -> Any:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else text


def _is_count(value: Any, least: int = 1, most: int = 1 << 16) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_size(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(_is_count(side) for side in value)


#: Layers of a mapping network; released ones have up to 8.
_MOST_LAYERS = 256
#: Beyond it a factor overflows float32.
_LARGEST = 1e30


def _is_positive(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value <= _LARGEST  # a whole number beyond floats compares, but does not convert


def _problems(config: StyleGAN2Config) -> list[Problem]:
    found = []
    for name, least in (("z_dim", 1), ("w_dim", 1), ("c_dim", 0), ("image_channels", 1)):
        if not _is_count(getattr(config, name), least):
            found.append(Problem(f"not a whole number from {least} to 65536", name))
    if not _is_count(config.mapping_layers, 1, _MOST_LAYERS):
        found.append(Problem(f"not a whole number from 1 to {_MOST_LAYERS}", "mapping_layers"))
    if not _is_positive(config.mapping_lr_multiplier):
        found.append(Problem("not a positive number", "mapping_lr_multiplier"))
    if config.conv_clamp is not None and not _is_positive(config.conv_clamp):
        found.append(Problem("neither null nor a positive number", "conv_clamp"))
    if config.architecture not in get_args(Architecture):
        found.append(Problem(f"not one of {', '.join(get_args(Architecture))}", "architecture"))
    return found + _geometry_problems(config)


def _geometry_problems(config: StyleGAN2Config) -> list[Problem]:
    sizes = ("resolution", "const_size")
    found = [Problem("not (height, width) in pixels", name) for name in sizes if not _is_size(getattr(config, name))]
    channels = config.channels
    if not isinstance(channels, Mapping) or not channels:
        found.append(Problem("not a table of block → channels", "channels"))
    elif len(channels) > 16 or set(channels) != set(range(len(channels))):
        found.append(Problem("blocks must be counted 0, 1, 2, … without a gap, 16 at most", "channels"))
    else:
        wrong = [block for block, count in channels.items() if not _is_count(count)]
        found += [Problem("not a whole number from 1 to 65536", f"channels.{block}") for block in wrong]
    if not found:
        drawn = tuple(side << (len(channels) - 1) for side in config.const_size)
        if tuple(config.resolution) != drawn:
            found.append(Problem(f"{len(channels)} blocks from {config.const_size} draw {drawn}", "resolution"))
    return found
