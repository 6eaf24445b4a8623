"""Write the trained generator where the library ships it, and what is needed to go on training it."""

from pathlib import Path
from typing import Any

import torch

from core.generators.files import GeneratorInfo, save_generator
from core.generators.stylegan2 import Generator

FOLDER = Path("core/generators/shipped/heads64")


def export(generator: Generator, log: list[dict[str, Any]]) -> None:
    """Store the averaged generator in half precision beside its training log."""
    info = GeneratorInfo(
        name="heads64", licence="CC0-1.0", domain="rendered heads, 64×64, from the project's own testbed", noise="none"
    )
    # Weights that nothing reads are stored as zeros, which compress and compare well.
    state = generator.state_dict()
    for name, tensor in state.items():
        if name.endswith((".noise", ".noise_strength")):
            tensor.zero_()
    generator.load_state_dict(state)
    info = save_generator(FOLDER, generator, info, torch.float16)
    lines = "\n".join(str(line) for line in log)
    (FOLDER / "training_log.txt").write_text(lines + "\n", encoding="utf-8")
    print(f"wrote {FOLDER}: {info.digest[:12]}")
