"""BigGAN-deep of huggingface/pytorch-pretrained-BigGAN: a folder with ``config.json`` and ``pytorch_model.bin``.

Its conditions are [z, class embedding] and its first layer is ordered height, width, channel; both are brought into the
order of the other files. Its convolution to the image has as many outputs as the generator is wide; three are used.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.biggan.checkpoints.found import Found, translated
from core.generators.biggan.config import FIRST_SIDE, BigGANConfig, BlockShape

MARKS = ("generator.gen_z.weight_orig",)
CONFIG = "config.json"
_ATTENTION = {name: f"snconv1x1_{name}" for name in ("theta", "phi", "g")} | {"o": "snconv1x1_o_conv"}
_PARTS = {"weight": "weight_orig", "u": "weight_u", "v": "weight_v", "mean": "running_means", "var": "running_vars"}
_KEYS = (
    *("output_dim", "z_dim", "class_embed_dim", "channel_width", "num_classes", "layers"),
    *("attention_layer_position", "eps", "n_stats"),
)


def read_huggingface(tensors: Mapping[str, Tensor], name: str, document: Any, answers: Answers) -> Found:
    """Return the generator of a state dictionary and its ``config.json``.

    Raises :class:`CheckpointError` for a missing or unfit configuration, and for tensors that do not fit it.
    """
    answers.check_names(())
    if document is None:
        problem = Problem("missing: give the folder with both files, or a zip of it", CONFIG)
        raise CheckpointError("this checkpoint needs its configuration", [problem])
    config = _config(document)
    position = _attention_position(document, len(config.blocks))

    def names(ours: str) -> list[str]:
        return [_theirs(ours, position)]

    def change(ours: str, tensor: Tensor) -> Tensor:
        return _changed(ours, tensor, config)

    return Found("huggingface", name, config, translated(config, tensors, names, change, ()))


def _config(document: Any) -> BigGANConfig:
    if not isinstance(document, dict):
        raise CheckpointError("this configuration cannot be read", [Problem("not an object", CONFIG)])
    problems = [Problem("missing", f"{CONFIG}: {key}") for key in _KEYS if key not in document]
    layers, width = document.get("layers"), document.get("channel_width")
    if not isinstance(layers, list) or not all(_is_layer(layer) for layer in layers):
        problems.append(Problem("not a list of [upsampled, width in, width out]", f"{CONFIG}: layers"))
    if not isinstance(width, int) or not 0 < width <= 1 << 12:
        problems.append(Problem("not a whole number from 1 to 4096", f"{CONFIG}: channel_width"))
    if problems:
        raise CheckpointError("this configuration cannot be used", problems)
    assert isinstance(layers, list)
    assert isinstance(width, int)
    blocks = tuple(BlockShape(before * width, after * width, upsample) for upsample, before, after in layers)
    position = _attention_position(document, len(blocks))
    config = BigGANConfig(
        architecture="biggan-deep",
        blocks=blocks,
        z_dim=document["z_dim"],
        classes=document["num_classes"],
        shared_dim=document["class_embed_dim"],
        attention=(position - 1,) if position < len(blocks) else (),
        output_channels=width,
        norm_eps=document["eps"],
        output_norm_eps=document["eps"],
        spectral_norm="stored",
        statistics=document["n_stats"],
    )
    if config.side != document["output_dim"]:
        detail = f"its layers draw {config.side} pixels, not {document['output_dim']}"
        raise CheckpointError("this configuration contradicts itself", [Problem(detail, f"{CONFIG}: output_dim")])
    return config


def _is_layer(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[0], bool):
        return False
    return all(isinstance(one, int) and not isinstance(one, bool) and 0 < one <= 1 << 10 for one in value[1:])


def _attention_position(document: Mapping[str, Any], count: int) -> int:
    """Return in front of which block the attention stands; ``count`` or more for none."""
    position = document["attention_layer_position"]
    if not isinstance(position, int) or isinstance(position, bool) or position < 1:
        problem = Problem("not a whole number from 1", f"{CONFIG}: attention_layer_position")
        raise CheckpointError("this configuration cannot be used", [problem])
    return min(position, count)


def _theirs(ours: str, position: int) -> str:
    """Our name of a tensor → its name in the file."""
    if ours == "shared.weight":
        return "embeddings.weight"
    stem, _, part = ours.rpartition(".")
    if stem == "output_norm":
        return f"generator.bn.{ {'gain': 'weight'}.get(part, _PARTS.get(part, part)) }"
    theirs = _PARTS.get(part, part)
    if stem in ("linear", "output"):
        return f"generator.{ {'linear': 'gen_z', 'output': 'conv_to_rgb'}[stem] }.{theirs}"
    kind, number, *layers = stem.split(".")
    if kind == "attention":
        inside = ".".join(_ATTENTION[layer] for layer in layers)
        return ".".join(filter(None, (f"generator.layers.{position}", inside, theirs)))
    index = int(number) + (int(number) >= position)
    inside = ".".join(layers).replace("gain", "scale").replace("bias", "offset")
    inside = re.sub(r"^(bn|conv)(\d)", lambda match: f"{match[1]}_{int(match[2]) - 1}", inside)
    return f"generator.layers.{index}.{inside}.{theirs}"


def _changed(ours: str, tensor: Tensor, config: BigGANConfig) -> Tensor:
    """Return a tensor of the file in the order of our network."""
    if ours == "shared.weight":
        return tensor.T
    if ours.endswith(".gamma"):
        return tensor.reshape(()) if tensor.numel() == 1 else tensor
    conditioned = ours.startswith("linear.") or ".gain." in ours or ".bias." in ours
    if conditioned and ours.endswith((".weight", ".v")):
        tensor = torch.cat([tensor[..., config.z_dim :], tensor[..., : config.z_dim]], -1)
    if ours.startswith("linear.") and not ours.endswith(".v"):
        rows = tensor.reshape(FIRST_SIDE, FIRST_SIDE, -1, *tensor.shape[1:])
        tensor = rows.movedim(2, 0).flatten(0, 2)
    return tensor
