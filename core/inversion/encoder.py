"""Image → code in a few feed-forward steps: an encoder that looks at the target beside its own last attempt.

ReStyle (Alaluf et al. 2021, section 3): start at the generator's mean code; at each iteration the encoder sees the
target and the current reconstruction and adds a correction to the code. Two kinds of heads:

- ``e4e`` (Tov et al. 2021, section 4.1): one shared row and small offsets of the others, so that codes stay near
  those that the generator draws itself.
- ``psp`` (Richardson et al. 2021, section 3): every row of its own. Closer images, codes further from drawn ones.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.digests import sha256_of
from core.errors import InversionError, Problem
from core.generators.interface import Invertible
from core.generators.stylegan2 import aliases
from core.inversion.code_encoder import CodeEncoder
from core.inversion.published.network import PublishedConfig, PublishedEncoder, published_encoder

ITERATIONS = 5
"""Steps of the encoder at test time (ReStyle, section 4.1)."""

Heads = Literal["e4e", "psp"]

DESCRIPTION = "encoder.json"
WEIGHTS = "encoder.safetensors"
_PUBLISHED = "published"
"""``kind`` in the description of a published encoder."""


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of an encoder.

    image_size: (height, width) that it looks at; targets and attempts of any other size are resized to it. channels:
    width of each stage; every stage halves the size. latent_scale: spread of the generator's codes (RMS of the distance
    from the mean code), the unit of the network's answer. head_channels: channels that are left before the last map is
    flattened. offset_rank: how many numbers the offsets of all layers are made from; unused by ``psp``. heads: see the
    module.
    """

    image_size: tuple[int, int]
    rows: int
    width: int
    latent_scale: float = 1.0
    channels: tuple[int, ...] = (32, 64, 128, 192)
    head_channels: int = 48
    offset_rank: int = 64
    heads: Heads = "e4e"

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(self.image_size))
        object.__setattr__(self, "channels", tuple(self.channels))
        numbers = [*self.image_size, *self.channels, self.rows, self.width, self.head_channels, self.offset_rank]
        problems = []
        if len(self.image_size) != 2 or not self.channels or not all(type(n) is int and n > 0 for n in numbers):
            problems.append(Problem("sizes and widths are positive whole numbers, image_size is (height, width)"))
        if not 0 < self.latent_scale < float("inf"):
            problems.append(Problem("not a positive finite number", "latent_scale"))
        if self.heads not in get_args(Heads):
            problems.append(Problem(f"not one of {', '.join(get_args(Heads))}", "heads"))
        if problems:
            raise InversionError("invalid encoder configuration", problems)


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))), both convolutions 3x3; the identity when fresh.

    No normalisation: how large the difference between target and attempt is decides how large the correction must be.
    Starting as the identity does for stability what normalisation would, and trained better than it in trials.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] → the same shape."""
        correction: Tensor = self.conv1(F.relu(self.conv0(F.relu(x))))
        return x + correction


class Encoder(CodeEncoder):
    """Target and current reconstruction → correction of the code. Freshly built it is random and answers 0 offsets."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        height, width = config.image_size
        for inputs, outputs in pairwise((6, *config.channels)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), Residual(outputs)]
            height, width = (height + 1) // 2, (width + 1) // 2
        self.stages = nn.Sequential(*layers)
        self.reduce = nn.Conv2d(config.channels[-1], config.head_channels, 1)
        flat = config.head_channels * height * width
        if config.heads == "psp":
            self.layers = nn.Linear(flat, config.rows * config.width)
            with torch.no_grad():
                self.layers.weight.mul_(0.1)  # begin near the mean code
            return
        self.shared = nn.Linear(flat, config.width)
        self.offset_code = nn.Linear(flat, config.offset_rank)
        self.offsets = nn.Linear(config.offset_rank, (config.rows - 1) * config.width)
        with torch.no_grad():
            self.shared.weight.mul_(0.1)  # begin near the mean code
            nn.init.zeros_(self.offsets.weight)
            nn.init.zeros_(self.offsets.bias)

    @property
    def code_shape(self) -> tuple[int, int]:
        """As :attr:`CodeEncoder.code_shape`."""
        return self.config.rows, self.config.width

    def correction(self, target: Tensor, current: Tensor) -> Tensor:
        """As :meth:`CodeEncoder.correction`."""
        found: Tensor = self(target, current)
        return found

    def forward(self, target: Tensor, current: Tensor, unlocked: int | None = None) -> Tensor:
        """Correction of the code, float [N, rows, width], in units of the code.

        target, current: float [N, 3, H, W] in [-1, 1], of any sizes. unlocked: how many layers after the first may
        differ from the shared row (e4e's progressive training); None for all. Layers of ``psp`` share nothing and
        differ from the beginning.
        """
        size = self.config.image_size
        x = torch.cat([_resized(target, size), _resized(current, size)], dim=1)  # [N, 6, h, w]
        x = x.contiguous(memory_format=torch.channels_last)  # faster convolutions
        x = F.relu(self.reduce(self.stages(x)).flatten(1))
        if self.config.heads == "psp":
            own: Tensor = self.layers(x)
            return own.reshape(len(x), self.config.rows, -1) * self.config.latent_scale
        shared: Tensor = self.shared(x)[:, None]  # [N, 1, width]
        layers = self.config.rows - 1
        count = layers if unlocked is None else min(unlocked, layers)
        codes = shared.expand(-1, self.config.rows, -1)
        if count:
            offsets = self.offsets(F.relu(self.offset_code(x))).unflatten(1, (layers, -1))[:, :count]
            codes = codes + F.pad(offsets, (0, 0, 1, layers - count))
        return codes * self.config.latent_scale


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    return images if images.shape[2:] == size else F.adaptive_avg_pool2d(images, size)


@torch.no_grad()
def encode(sampler: Invertible, encoder: CodeEncoder, images: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Codes of images, float [N, rows, width].

    images: float [N, 3, H, W] in [-1, 1], of any size, on the device of both networks. An encoder that is made for
    fewer iterations does those. Raises :class:`InversionError` when the encoder belongs to another generator.
    """
    check_match(sampler, encoder)
    codes = encoder.start(sampler).expand(len(images), -1, -1)  # [N, rows, width]
    for attempt in attempts(sampler, encoder, images, iterations):
        codes = attempt
    return codes


@torch.no_grad()
def attempts(
    sampler: Invertible, encoder: CodeEncoder, images: Tensor, iterations: int = ITERATIONS
) -> Iterator[Tensor]:
    """The codes after each of the iterations; arguments and errors as of :func:`encode`."""
    check_match(sampler, encoder)
    codes = encoder.start(sampler).expand(len(images), -1, -1)  # [N, rows, width]
    current = encoder.first_image(sampler).expand(len(images), -1, -1, -1)
    most = encoder.most_iterations
    for iteration in range(iterations if most is None else min(iterations, most)):
        if iteration:
            current = sampler.image_of(codes)
        codes = codes + encoder.correction(images, current)
        yield codes


@torch.no_grad()
def average_image(sampler: Invertible) -> Tensor:
    """What the mean code draws, float [1, 3, H, W]: the first attempt at every image."""
    return sampler.image_of(sampler.centre.expand(1, sampler.rows, -1))


def check_match(sampler: Invertible, encoder: CodeEncoder) -> None:
    """Raise :class:`InversionError` when the encoder's codes do not fit the generator."""
    wanted, given = (sampler.rows, sampler.width), encoder.code_shape
    if wanted != given:
        raise InversionError(f"the encoder makes codes [{given[0]}, {given[1]}], the generator takes {list(wanted)}")


def save_encoder(folder: Path, encoder: Encoder | PublishedEncoder, facts: Mapping[str, Any] | None = None) -> None:
    """Write ``encoder.safetensors`` and then ``encoder.json`` into a folder: our own as fp16, a published one as it is.

    facts: what else should be known of it (how it was trained); kept as they are under ``facts``.
    """
    published = isinstance(encoder, PublishedEncoder)
    dtype = torch.float32 if published else torch.float16
    tensors = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in encoder.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    about = {"config": asdict(encoder.config), "digest": sha256_of(folder / WEIGHTS), "facts": dict(facts or {})}
    about |= {"kind": _PUBLISHED} if published else {}
    (folder / DESCRIPTION).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _described(about: Mapping[str, Any]) -> Callable[[dict[str, Tensor]], CodeEncoder]:
    """Return a function from the tensors of an encoder to the encoder that ``encoder.json`` describes."""
    if about.get("kind") == _PUBLISHED:
        shape = PublishedConfig(**about["config"])
        return lambda tensors: published_encoder(shape, tensors)
    known = {f.name for f in fields(EncoderConfig)}
    named = {aliases.ENCODER_FIELDS.get(key, key): value for key, value in about["config"].items()}
    config = EncoderConfig(**{key: value for key, value in named.items() if key in known})

    def build(tensors: dict[str, Tensor]) -> CodeEncoder:
        encoder = Encoder(config)
        encoder.load_state_dict(tensors)
        return encoder

    return build


def load_encoder(folder: Path, device: torch.device | str = "cpu") -> CodeEncoder | None:
    """The encoder in a folder, of our own training or a published one, as fp32, frozen; None where there is none.

    Raises :class:`InversionError` naming the file when it is there but damaged.
    """
    if not (folder / DESCRIPTION).is_file():
        return None
    name = DESCRIPTION
    try:
        about = json.loads((folder / name).read_text(encoding="utf-8"))
        build = _described(about)
        name = WEIGHTS
        if sha256_of(folder / name) != about["digest"]:
            raise ValueError("its SHA-256 is not the one in encoder.json")
        encoder = build(safetensors.torch.load_file(folder / name))
        if not all(bool(tensor.isfinite().all()) for tensor in encoder.parameters()):
            raise ValueError("holds numbers that are not finite")
    except Exception as error:  # absent, not JSON, a field missing, other tensors: all mean the same to the caller
        raise InversionError("the generator's encoder cannot be used", [Problem(str(error), name)]) from error
    return encoder.to(device).eval().requires_grad_(False)
