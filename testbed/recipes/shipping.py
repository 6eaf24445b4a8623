"""The trained generator as the library ships it, and what is needed to go on training it on another machine."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from core.generators.files import save_generator
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from testbed.recipes.widening import widened
from testbed.shipped import load_stylegan2

SHIPPED = Path("core/generators/shipped")
TEACHERS = Path("testbed/recipes")


def export(
    name: str, domain: str, generator: Network, teacher: dict[str, nn.Module], log: list[dict[str, Any]]
) -> None:
    """Store the averaged generator in half precision, its training log, and the networks that taught it."""
    info = GeneratorInfo(name=name, licence="CC0-1.0", domain=domain, options={"noise": "none", "space": "w"})
    # Noise that nothing reads is stored as zeros.
    state = {
        key: torch.zeros_like(tensor) if key.endswith((".noise", ".noise_strength")) else tensor
        for key, tensor in generator.state_dict().items()
    }
    generator.load_state_dict(state)
    folder, teacher_file, log_file = _places(name)
    info = save_generator(folder, StyleGAN2Generator(generator, info), torch.float16)
    log_file.write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    parts = {
        f"{part}.{key}": tensor.half().contiguous()
        for part, network in teacher.items()
        for key, tensor in network.state_dict().items()
    }
    safetensors.torch.save_file(parts, teacher_file)
    print(f"wrote {folder} ({info.digest[:12]}) and {teacher_file}")


def restore(name: str, teacher: dict[str, nn.Module]) -> tuple[Network, list[dict[str, Any]]] | None:
    """The shipped generator and its log, the teacher's networks filled in; None where nothing fits."""
    folder, teacher_file, log_file = _places(name)
    if not teacher_file.exists() or not log_file.exists():
        return None
    parts = safetensors.torch.load_file(teacher_file)
    for part, network in teacher.items():
        prefix = f"{part}."
        learnt = {k.removeprefix(prefix): v.float() for k, v in parts.items() if k.startswith(prefix)}
        network.load_state_dict(widened(learnt, network.state_dict()))
    log = [json.loads(line) for line in log_file.read_text(encoding="utf-8").splitlines()]
    return load_stylegan2(folder).network, log


def _places(name: str) -> tuple[Path, Path, Path]:
    """Of a generator: its folder, its teacher's weights, its training log."""
    folder = SHIPPED / name
    return folder, TEACHERS / f"{name}_teacher.safetensors", folder / "training_log.jsonl"
