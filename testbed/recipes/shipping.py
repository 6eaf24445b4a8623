"""The trained generator as the library ships it, and what is needed to go on training it on another machine."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from core.generators.files import GeneratorInfo, load_generator, save_generator
from core.generators.stylegan2 import Generator

FOLDER = Path("core/generators/shipped/heads64")
TEACHER = Path("testbed/recipes/heads64_teacher.safetensors")
LOG = FOLDER / "training_log.jsonl"


def export(generator: Generator, teacher: dict[str, nn.Module], log: list[dict[str, Any]]) -> None:
    """Store the averaged generator in half precision, its training log, and the networks that taught it."""
    info = GeneratorInfo(
        name="heads64", licence="CC0-1.0", domain="rendered heads, 64×64, from the project's own testbed", noise="none"
    )
    # Noise that nothing reads is stored as zeros.
    state = {
        name: torch.zeros_like(tensor) if name.endswith((".noise", ".noise_strength")) else tensor
        for name, tensor in generator.state_dict().items()
    }
    generator.load_state_dict(state)
    info = save_generator(FOLDER, generator, info, torch.float16)
    LOG.write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    parts = {
        f"{name}.{key}": tensor.half().contiguous()
        for name, network in teacher.items()
        for key, tensor in network.state_dict().items()
    }
    safetensors.torch.save_file(parts, TEACHER)
    print(f"wrote {FOLDER} ({info.digest[:12]}) and {TEACHER}")


def restore(teacher: dict[str, nn.Module]) -> tuple[Generator, list[dict[str, Any]]] | None:
    """The shipped generator and its log, the teacher's networks filled in; None where nothing fits."""
    if not TEACHER.exists() or not LOG.exists():
        return None
    parts = safetensors.torch.load_file(TEACHER)
    for name, network in teacher.items():
        prefix = f"{name}."
        network.load_state_dict({k.removeprefix(prefix): v.float() for k, v in parts.items() if k.startswith(prefix)})
    log = [json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]
    return load_generator(FOLDER).network, log
