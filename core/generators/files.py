"""A generator on disk: ``generator.json`` (configuration, what is known about it) beside ``generator.safetensors``."""

import hashlib
import itertools
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from core.digests import sha256_of
from core.errors import GeneratorError, Problem
from core.generators.stylegan2.config import Space, StyleGAN2Config
from core.generators.stylegan2.network import Network, Noise

DESCRIPTION = "generator.json"
WEIGHTS = "generator.safetensors"
FORMAT = "offhand-generator/1"
METADATA = "offhand"
"""Key in the weights' own metadata that holds the description too, so that the file can travel alone."""
_DTYPES = {torch.float32: "F32", torch.float16: "F16"}


@dataclass(frozen=True)
class GeneratorInfo:
    """What is known about a generator besides its shape."""

    name: str
    licence: str = ""
    domain: str = ""
    """What it draws, in a few words."""
    digest: str = ""
    """SHA-256 of the weights file in hexadecimal; filled in when the generator is written."""
    noise: Noise = "const"
    """How it is meant to be synthesised: with its stored noise, or with none."""
    space: Space = "w_plus"
    """Where images are inverted unless asked otherwise; "w" for one that was taught with one code for all layers."""
    classes: tuple[str, ...] = ()
    """Class names of a conditional generator, in the order of its class vector."""


class LoadedGenerator(NamedTuple):
    """network: in eval mode, float32, no parameter requires a gradient."""

    network: Network
    info: GeneratorInfo


def save_generator(
    folder: Path, generator: Network, info: GeneratorInfo, dtype: torch.dtype = torch.float32
) -> GeneratorInfo:
    """Write a generator into ``folder``, made where it is missing. dtype: float32, or float16 for half the size.

    The description is written last, so that a folder with a description is whole. Returns ``info`` with its digest.
    Raises :class:`GeneratorError` when the weights are not finite in that dtype.
    """
    state = generator.state_dict()
    broken = [name for name, tensor in state.items() if not tensor.to(dtype).isfinite().all()]
    problems = [Problem(f"not finite as {dtype}", name) for name in broken]
    if problems:
        raise GeneratorError("these weights cannot be stored", problems)
    folder.mkdir(parents=True, exist_ok=True)
    description = {"format": FORMAT, "config": generator.config.to_json(), "info": asdict(replace(info, digest=""))}
    info = replace(info, digest=_write_weights(folder / WEIGHTS, state, dtype, description))
    description["info"] = asdict(info)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return info


def read_description(folder: Path) -> tuple[StyleGAN2Config, GeneratorInfo]:
    """Configuration and facts of a stored generator, without its weights. Raises :class:`GeneratorError`."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GeneratorError(f"{folder.name} holds no generator", [Problem("missing", DESCRIPTION)]) from None
    except (OSError, ValueError) as error:
        raise GeneratorError(f"{folder.name} cannot be read", [Problem(str(error), DESCRIPTION)]) from None
    return parse_description(description)


def parse_description(description: Any) -> tuple[StyleGAN2Config, GeneratorInfo]:
    """What a description says, wherever it stood. Raises :class:`GeneratorError` naming every wrong field."""
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise GeneratorError("this describes no generator", [Problem(f"format is not {FORMAT}", DESCRIPTION)])
    return StyleGAN2Config.from_json(description.get("config")), _info_from_json(description.get("info"))


def load_generator(folder: Path, device: torch.device | str = "cpu") -> LoadedGenerator:
    """Read what :func:`save_generator` wrote, as float32 and frozen.

    Raises :class:`GeneratorError` when something is missing, does not fit the configuration, is not finite, or when the
    weights are not those that the description's digest names.
    """
    config, info = read_description(folder)
    path = folder / WEIGHTS
    try:
        digest = sha256_of(path)
        if digest != info.digest:
            raise GeneratorError(f"{folder.name} is damaged", [Problem("not the file that was described", WEIGHTS)])
        state = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise GeneratorError(f"{folder.name} cannot be read", [Problem(str(error), WEIGHTS)]) from None
    with torch.device("meta"):
        network = Network(config)
    wanted = network.state_dict()
    problems = [Problem("missing", name) for name in sorted(wanted.keys() - state.keys())]
    problems += [Problem("nothing takes it", name) for name in sorted(state.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & state.keys()):
        if state[name].shape != wanted[name].shape:
            problems.append(Problem(f"shape {list(state[name].shape)}, not {list(wanted[name].shape)}", name))
        elif not state[name].is_floating_point() or not state[name].isfinite().all():
            problems.append(Problem("holds something else than finite floats", name))
    if problems:
        raise GeneratorError(f"the weights of {folder.name} do not fit its configuration", problems)
    # Copied, so that each tensor is aligned as torch's own are: the last bit of a product may depend on it.
    state = {name: tensor.to(device, torch.float32, copy=True) for name, tensor in state.items()}
    network.load_state_dict(state, assign=True)
    return LoadedGenerator(network.eval().requires_grad_(False), info)


def shipped_generators() -> dict[str, Path]:
    """Name → folder of each generator that comes with the library."""
    shipped = Path(__file__).parent / "shipped"
    return {path.parent.name: path.parent for path in sorted(shipped.glob(f"*/{DESCRIPTION}"))}


def _info_from_json(values: Any) -> GeneratorInfo:
    if not isinstance(values, dict):
        raise GeneratorError("a generator's facts are a JSON object", [Problem("not an object", "info")])
    known = {f.name for f in fields(GeneratorInfo)}
    problems = [Problem("unknown field", f"info.{name}") for name in sorted(values.keys() - known)]
    texts = ("name", "licence", "domain", "digest")
    problems += [Problem("not text", f"info.{name}") for name in texts if not isinstance(values.get(name), str)]
    if values.get("noise") not in get_args(Noise):
        problems.append(Problem(f"not one of {', '.join(get_args(Noise))}", "info.noise"))
    if values.get("space", "w_plus") not in get_args(Space):  # absent in files of before
        problems.append(Problem(f"not one of {', '.join(get_args(Space))}", "info.space"))
    classes = values.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        problems.append(Problem("not a list of names", "info.classes"))
    if problems:
        raise GeneratorError("the facts about this generator are wrong", problems)
    return GeneratorInfo(**{**values, "classes": tuple(values["classes"])})


def _write_weights(path: Path, state: Mapping[str, Tensor], dtype: torch.dtype, description: dict[str, Any]) -> str:
    """Write a safetensors file with the description in its metadata, tensor by tensor; its SHA-256.

    Not safetensors' own writer: it holds the whole file in memory once more, and leaves it readable to its owner alone.
    """
    header: dict[str, Any] = {"__metadata__": {METADATA: json.dumps(description, ensure_ascii=False)}}
    end = 0
    for name, tensor in state.items():
        begin, end = end, end + tensor.numel() * dtype.itemsize
        header[name] = {"dtype": _DTYPES[dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        header_parts: tuple[bytes | memoryview, ...] = (struct.pack("<Q", len(text)), text)
        for part in itertools.chain(header_parts, (_raw(one, dtype) for one in state.values())):
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


def _raw(tensor: Tensor, dtype: torch.dtype) -> memoryview:
    flat = tensor.detach().to("cpu", dtype).contiguous().reshape(-1)
    return flat.numpy().data.cast("B")
