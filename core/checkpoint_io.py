"""State of a long run as bytes that a later attempt goes on from: safetensors that say what run they belong to."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.optim import Optimizer

from core.errors import Problem, ResumeError


def fingerprint(facts: Any, tensors: Iterable[Tensor]) -> str:
    """SHA-256 (hex) of what a run is given: ``facts`` as JSON holds them, then each tensor's type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)  # numpy knows no bfloat16
        digest.update(plain.numpy().data)
    return digest.hexdigest()


def pack(tensors: Mapping[str, Tensor], run: str, mark: str, facts: Any = None) -> bytes:
    """Tensors and facts of a ``run``, such as "inversion", whose :func:`fingerprint` is ``mark``."""
    metadata = {"format": _format(run), "fingerprint": mark, "facts": json.dumps(facts)}
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata)


def unpack(content: bytes, run: str, mark: str) -> tuple[dict[str, Tensor], Any]:
    """Tensors and facts that :func:`pack` was given, on the CPU. Raises :class:`ResumeError` where the bytes are
    damaged or belong to another run.
    """
    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError) as error:
        raise ResumeError("this checkpoint cannot be read", [Problem(str(error), "checkpoint")]) from None
    if metadata.get("format") != _format(run) or metadata.get("fingerprint") != mark:
        raise ResumeError(f"this checkpoint belongs to another {run}", [Problem("does not match", "checkpoint")])
    # Copied, so that each tensor is aligned as torch's own are: the last bit of a product may depend on it.
    return {name: torch.clone(tensor) for name, tensor in tensors.items()}, json.loads(metadata["facts"])


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer as tensors named ``NUMBER.ENTRY``, by the number of the parameter."""
    state: Mapping[int, Mapping[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, entries in state.items() for name, tensor in entries.items()}


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load what :func:`optimizer_tensors` returned; settings such as the learning rate stay those of the optimizer."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def within(tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``group`` and a dot, without that."""
    prefix = f"{group}."
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


def _format(run: str) -> str:
    return f"offhand-{run.replace(' ', '-')}/2"
