"""A short training of which each process of `torchrun` has a part; the first one writes weights and figures."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import distributed

from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.images import TensorImages
from core.generators.stylegan2.training.training import GanTraining
from core.run import Run

SETTINGS: dict[str, Any] = {
    "kimg": 0.032, "batch": 8, "widths": [8, 8, 8], "latent_width": 8, "mapping_layers": 2,
    "discriminator_mapping_layers": 2, "precision": "float32", "ema_kimg": 0.02, "stddev_group": 4, "flip": True,
    "augmentation": "ada", "ada_p": 0.4, "ada_kimg": 0.05, "path_length_weight": 2.0, "style_mixing": 0.9,
    "lecam_weight": 0.01, "noise_std": 0.5, "noise_beta": 0.9, "twins_weight": 0.01, "r1_interval": 2,
}  # fmt: skip


def train(settings: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Return the weights of both networks, and the figures."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (24, 3, 8, 8), dtype=torch.uint8, generator=random)
    images = TensorImages(pixels, torch.arange(24) % 3, ("cat", "dog", "owl"))
    training = GanTraining(images, GanConfig.from_json(SETTINGS | settings), Run(seed=3))
    (event,) = training.train(event_every=1000)
    networks = {"generator": training.players.ema, "discriminator": training.players.discriminator}
    weights = {f"{name}.{key}": value for name, one in networks.items() for key, value in one.state_dict().items()}
    return weights, dict(event.figures)


if __name__ == "__main__":
    if "WORLD_SIZE" in os.environ:
        distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    found, figures = train(json.loads(sys.argv[2]))
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        safetensors.torch.save_file(found, sys.argv[1], {"figures": json.dumps(figures)})
        Path(sys.argv[1]).with_suffix(".json").write_text(json.dumps(figures))
    if distributed.is_initialized():
        distributed.destroy_process_group()
