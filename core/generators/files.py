"""A generator on disk: ``generator.json`` (family, configuration, facts) beside ``generator.safetensors``."""

import hashlib
import itertools
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from core.digests import sha256_of
from core.errors import GeneratorError, Problem
from core.generators import families
from core.generators.interface import Description, Generator, GeneratorInfo, schema_with_defaults
from core.generators.stylegan2 import aliases

DESCRIPTION = "generator.json"
WEIGHTS = "generator.safetensors"
FORMAT = "offhand-generator/2"
METADATA = "offhand"
"""Key in the metadata of the weights that holds the description too, so that the file can travel alone."""
_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}


class StoredGenerator(NamedTuple):
    """The content of ``generator.json``."""

    description: Description
    config: Any
    info: GeneratorInfo


def save_generator(folder: Path, generator: Generator, dtype: torch.dtype = torch.float32) -> GeneratorInfo:
    """Write a generator into ``folder``, which is created if missing. dtype: float32, or float16 for half the size.

    The description is written last, so that a folder with a description is complete. Returns the generator's facts
    with the digest. Raises :class:`GeneratorError` when the weights are not finite in that dtype.
    """
    state = generator.state()
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    broken = [name for name, tensor in floats.items() if not tensor.to(dtype).isfinite().all()]
    problems = [Problem(f"not finite as {dtype}", name) for name in broken]
    if problems:
        raise GeneratorError("these weights cannot be stored", problems)
    folder.mkdir(parents=True, exist_ok=True)
    description = description_json(generator, replace(generator.info, digest=""))
    info = replace(generator.info, digest=_write_weights(folder / WEIGHTS, state, dtype, description))
    text = json.dumps(description_json(generator, info), indent=2, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    return info


def description_json(generator: Generator, info: GeneratorInfo) -> dict[str, Any]:
    """Return the content of ``generator.json``. The service validates requests against ``settings_schema``."""
    facts = {**asdict(info), "classes": list(info.classes), "options": dict(info.options)}
    if not info.sampling:
        del facts["sampling"]  # releases that do not know it would refuse it
    return {
        "format": FORMAT,
        "family": generator.family,
        "config": generator.config_json(),
        "info": facts,
        "resolution": list(generator.resolution),
        "code": generator.code.to_json(),
        "settings_schema": dict(generator.settings_schema),
        "labelled_by": sorted(generator.labelled_by),
    }


def read_description(folder: Path) -> StoredGenerator:
    """Read the description of a stored generator, without its weights. Raises :class:`GeneratorError`."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GeneratorError(f"{folder.name} holds no generator", [Problem("missing", DESCRIPTION)]) from None
    except (OSError, ValueError) as error:
        raise GeneratorError(f"{folder.name} cannot be read", [Problem(str(error), DESCRIPTION)]) from None
    return parse_description(description)


def parse_description(description: Any) -> StoredGenerator:
    """Read a description, wherever it was stored. A description without a family is of the first release.
    Raises :class:`GeneratorError` that names every wrong field.
    """
    formats = (FORMAT, aliases.FIRST_FORMAT)
    if not isinstance(description, dict) or description.get("format") not in formats:
        problem = Problem(f"expected the format {FORMAT}", DESCRIPTION)
        raise GeneratorError("this does not describe a generator", [problem])
    first = "family" not in description
    family = aliases.FAMILY if first else description.get("family")
    values = description.get("info")
    if first and isinstance(values, dict):
        values = aliases.info_of_first_format(values)
    config = description.get("config")
    described, info = families.family_of(str(family)).describe(config), _info_from_json(values)
    schema = schema_with_defaults(described.settings_schema, info)
    return StoredGenerator(replace(described, settings_schema=schema), config, info)


def load_generator(folder: Path, device: torch.device | str = "cpu") -> Generator:
    """Read what :func:`save_generator` wrote, as float32 and frozen.

    Raises :class:`GeneratorError` when something is missing, does not fit the configuration, is not finite, or when the
    weights are not those that the description's digest names.
    """
    stored = read_description(folder)
    path = folder / WEIGHTS
    try:
        digest = sha256_of(path)
        if digest != stored.info.digest:
            raise GeneratorError(f"{folder.name} is damaged", [Problem("not the file that was described", WEIGHTS)])
        state = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise GeneratorError(f"{folder.name} cannot be read", [Problem(str(error), WEIGHTS)]) from None
    return families.family_of(stored.description.family).build(stored.config, stored.info, state, device)


def shipped_generators() -> dict[str, Path]:
    """Name → folder of each generator that comes with the library."""
    shipped = Path(__file__).parent / "shipped"
    return {path.parent.name: path.parent for path in sorted(shipped.glob(f"*/{DESCRIPTION}"))}


def _info_from_json(values: Any) -> GeneratorInfo:
    if not isinstance(values, dict):
        raise GeneratorError("a generator's facts are a JSON object", [Problem("not an object", "info")])
    known = ("name", "licence", "domain", "digest", "classes", "options", "sampling")
    problems = [Problem("unknown field", f"info.{name}") for name in sorted(values.keys() - set(known))]
    texts = ("name", "licence", "domain", "digest")
    problems += [Problem("not text", f"info.{name}") for name in texts if not isinstance(values.get(name), str)]
    classes, options = values.get("classes"), values.get("options", {})
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        problems.append(Problem("not a list of names", "info.classes"))
    if not isinstance(options, dict):
        problems.append(Problem("not an object", "info.options"))
    if not isinstance(values.get("sampling", {}), dict):
        problems.append(Problem("not an object", "info.sampling"))
    if problems:
        raise GeneratorError("invalid generator facts", problems)
    return GeneratorInfo(**{**values, "classes": tuple(values["classes"]), "options": options})


def _write_weights(path: Path, state: Mapping[str, Tensor], dtype: torch.dtype, description: dict[str, Any]) -> str:
    """Write a safetensors file with the description in its metadata, tensor by tensor; its SHA-256.

    Not safetensors' own writer: it holds the whole file in memory once more, and leaves it readable to its owner alone.
    """
    header: dict[str, Any] = {"__metadata__": {METADATA: json.dumps(description, ensure_ascii=False)}}
    end = 0
    kinds = {name: dtype if tensor.is_floating_point() else torch.int64 for name, tensor in state.items()}
    for name, tensor in state.items():
        begin, end = end, end + tensor.numel() * kinds[name].itemsize
        header[name] = {"dtype": _DTYPES[kinds[name]], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        header_parts: tuple[bytes | memoryview, ...] = (struct.pack("<Q", len(text)), text)
        for part in itertools.chain(header_parts, (_raw(one, kinds[name]) for name, one in state.items())):
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


def _raw(tensor: Tensor, dtype: torch.dtype) -> memoryview:
    flat = tensor.detach().to("cpu", dtype).contiguous().reshape(-1)
    return flat.numpy().data.cast("B")
