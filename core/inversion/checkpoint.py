"""How far an inversion has come, as bytes that the caller keeps wherever it likes."""

import hashlib
import json

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from core.errors import Problem, ResumeError
from core.inversion.encoder import Encoder
from core.inversion.objective import Objective

FORMAT = "offhand-inversion/1"


def fingerprint(objective: Objective, encoder: Encoder | None, images: Tensor, seed: int) -> str:
    """SHA-256 (hex) of what an inversion is given; batches and memory, which may change between attempts, apart."""
    generator = objective.generator
    digest = hashlib.sha256()
    facts = [objective.config.of_codes(), objective.perceptual.name, objective.autocast, seed, list(images.shape)]
    digest.update(json.dumps([*facts, generator.config.to_json()], sort_keys=True).encode())
    for tensor in (generator.w_avg, *(encoder.parameters() if encoder is not None else ()), images):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def to_bytes(tensors: dict[str, Tensor], first: int, batch: int, mark: str) -> bytes:
    """safetensors of the state: ``first``: the first image of the batch at hand, ``batch``: its size."""
    metadata = {"format": FORMAT, "fingerprint": mark, "first": str(first), "batch": str(batch)}
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata)


def from_bytes(content: bytes, mark: str) -> tuple[dict[str, Tensor], int, int]:
    """What :func:`to_bytes` was given. Raises :class:`ResumeError` when it cannot be read or is another's."""
    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError) as error:
        raise ResumeError("this checkpoint cannot be read", [Problem(str(error), "checkpoint")]) from None
    if metadata.get("format") != FORMAT or metadata.get("fingerprint") != mark:
        raise ResumeError("this checkpoint belongs to another inversion", [Problem("does not match", "checkpoint")])
    # Copied, so that each tensor is aligned as torch's own are: the last bit of a product may depend on it.
    copied = {name: torch.clone(tensor) for name, tensor in tensors.items()}
    return copied, int(metadata["first"]), int(metadata["batch"])
