"""Checkpoints of taming-transformers → a VQGAN: a first stage alone, or with its class-conditional transformer."""

import re
from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor

from core.checkpoints.content import CheckpointContent
from core.checkpoints.state_dicts import ask, read_all, tables
from core.checkpoints.values import StoredTensor
from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.interface import GeneratorInfo, ReadGenerator
from core.generators.vqgan.config import TransformerConfig, VQGANConfig
from core.generators.vqgan.generator import Network, VQGANGenerator
from core.generators.weights import frozen_weights

FORMAT = "taming-transformers"
_PARTS = ("encoder.", "decoder.", "quantize.", "quant_conv.", "post_quant_conv.")
_MARKS = ("encoder.conv_in.weight", "decoder.conv_in.weight", "post_quant_conv.weight")
_CODEBOOKS = {"quantize.embedding.weight": "nearest", "quantize.embed.weight": "gumbel"}
_WITH_TRANSFORMER = "first_stage_model."
_TRANSFORMER = "transformer."
_CONDITION = "cond_stage_model."
_QUESTIONS = {
    "resolution": "side of the images that it was trained on, in pixels (ddconfig.resolution in its YAML file)",
    "heads": "heads of the transformer's attention (n_head in its YAML file)",
    "classes": "number of classes of its training data (1000 for ImageNet)",
}


def read_checkpoint(content: CheckpointContent, answers: Answers) -> ReadGenerator | None:
    """Read a ``.ckpt`` of a first stage, or of a class-conditional model with both stages; None for another kind.

    Discriminator, perceptual loss and optimiser states are left out. Raises :class:`core.errors.CheckpointError` for
    such a file that cannot be used, or leaves a question open.
    """
    tensors = _tensors(content)
    if tensors is None:
        return None
    answers.check_names(_QUESTIONS)
    both = f"{_WITH_TRANSFORMER}{_MARKS[0]}" in tensors
    if any(name.startswith(_CONDITION) for name in tensors):
        problem = Problem("its transformer is conditioned on images, not on classes", _CONDITION.removesuffix("."))
        raise CheckpointError("this VQGAN is not class-conditional", [problem])
    first = _inside(tensors, _WITH_TRANSFORMER if both else "")
    first = {name: tensor for name, tensor in first.items() if name.startswith(_PARTS)}
    transformer = _inside(tensors, _TRANSFORMER) if both else {}
    transformer = {name: tensor for name, tensor in transformer.items() if not name.endswith(".attn.mask")}
    config = _config(first, transformer, answers)
    state = {f"first_stage.{name}": tensor for name, tensor in first.items()}
    state |= {f"transformer.{name}": tensor for name, tensor in transformer.items()}
    with torch.device("meta"):
        network = Network(config)
    network.load_state_dict(frozen_weights(network.state_dict(), state, content.name, "cpu"), assign=True)
    generator = VQGANGenerator(network.eval().requires_grad_(False), GeneratorInfo(""))
    alone = "It has no transformer: it encodes and decodes images, and cannot draw samples."
    return ReadGenerator(generator, FORMAT, notes=() if both else (alone,))


def _tensors(content: CheckpointContent) -> dict[str, Tensor] | None:
    """Return the table of tensors of a VQGAN, without those of its training; None where there is none."""
    if content.tensors is not None:
        return dict(content.tensors) if _is_vqgan(content.tensors) else None
    for _, stored, _ in tables(content.value):
        if _is_vqgan(stored):
            wanted = {name: one for name, one in stored.items() if not name.startswith("loss.")}
            return read_all(wanted, content.limits)
    return None


def _is_vqgan(names: Mapping[str, StoredTensor] | Mapping[str, Tensor]) -> bool:
    for prefix in (_WITH_TRANSFORMER, ""):
        codebook = any(f"{prefix}{name}" in names for name in _CODEBOOKS)
        if codebook and all(f"{prefix}{name}" in names for name in _MARKS):
            return True
    return False


def _inside(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _config(first: Mapping[str, Tensor], transformer: Mapping[str, Tensor], answers: Answers) -> VQGANConfig:
    """Read the configuration off names and shapes. Raises for what they do not state and no answer does."""
    codebook = next(name for name in _CODEBOOKS if name in first)
    width, channels = first["encoder.conv_in.weight"].shape[:2]
    levels = _count(first, r"decoder\.up\.(\d+)\.")
    multipliers = tuple(_output_channels(first, level) // width for level in range(levels))
    positions = transformer["pos_emb"].shape[1] if "pos_emb" in transformer else 0
    given = {name: _whole_number(answers, name) for name in _QUESTIONS}
    side = isqrt(positions)
    if given["resolution"] is None and side and positions - side**2 in (0, 1):
        given["resolution"] = side << (levels - 1)
    needed = ("resolution", "heads", "classes") if transformer else ("resolution",)
    missing = [name for name in needed if given[name] is None]
    if missing:
        raise ask(*((name, _QUESTIONS[name]) for name in missing))
    return VQGANConfig(
        resolution=given["resolution"] or 0,
        width=width,
        multipliers=multipliers,
        blocks=_count(first, r"encoder\.down\.0\.block\.(\d+)\."),
        attention=tuple(level for level in range(levels) if f"encoder.down.{level}.attn.0.q.weight" in first),
        latent_channels=_shape(first, "encoder.conv_out.weight")[0],
        code_width=first[codebook].shape[1],
        codes=first[codebook].shape[0],
        quantizer="gumbel" if _CODEBOOKS[codebook] == "gumbel" else "nearest",
        channels=channels,
        classes=given["classes"] or 0 if transformer else 0,
        transformer=_transformer_config(transformer, given["heads"] or 0) if transformer else None,
    )


def _transformer_config(transformer: Mapping[str, Tensor], heads: int) -> TransformerConfig:
    _, positions, width = _shape(transformer, "pos_emb")
    return TransformerConfig(_count(transformer, r"blocks\.(\d+)\."), width, heads, positions)


def _output_channels(first: Mapping[str, Tensor], level: int) -> int:
    return _shape(first, f"decoder.up.{level}.block.0.conv1.weight")[0]


def _shape(tensors: Mapping[str, Tensor], name: str) -> torch.Size:
    if name not in tensors:
        raise CheckpointError("this VQGAN is incomplete", [Problem("missing", name)])
    return tensors[name].shape


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Return one more than the largest number that the pattern's group matches at the beginning of a name."""
    return 1 + max((int(found[1]) for found in map(re.compile(pattern).match, tensors) if found), default=-1)


def _whole_number(answers: Answers, name: str) -> int | None:
    value = answers.others.get(name)
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1 << 16:
        raise CheckpointError("an answer cannot be used", [Problem(f"expected a number ≥ 1, found {value!r}", name)])
    return int(text)
