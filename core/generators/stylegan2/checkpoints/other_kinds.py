"""Generators and other networks that are not read, recognised by the names of their tensors.

A file of such a kind is refused with the name of the kind, before any question about it is asked.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

from core.checkpoints.values import StoredArray, StoredTensor
from core.errors import CheckpointError, Problem

READABLE = "StyleGAN2 generators of NVIDIA, rosinality, ReStyle, pSp and e4e are read, BigGAN generators, and VQGAN"

#: Kind → parts of names, all of which occur in its tensors' names. These share names with StyleGAN2: asked first.
_RELATED = {
    "EG3D": ("backbone.synthesis.", "backbone.mapping."),
    "StyleGAN-XL": ("synthesis.L0_", "mapping.embed_proj."),
    "StyleGAN3": ("synthesis.L0_",),
    "StyleGAN1": ("/StyleMod/",),
}
_OTHERS = {
    "StyleGAN1 in PyTorch": ("progression.", "style.1.weight"),
    "StyleGAN2 of lucidrains/stylegan2-pytorch": (".to_style1.",),
    "StyleGAN2 of BasicSR (GFPGAN)": ("style_mlp.", "style_conv1.modulated_conv."),
    "StyleGAN2 of MMGeneration": ("style_mapping.", "conv.style_modulation."),
    "a generator of genforce": ("mapping.dense0.", "synthesis.layer0."),
    "a diffusion model": ("model.diffusion_model.",),
    "a diffusion model of diffusers": ("time_embedding.linear_1.",),
    "NVIDIA's discriminator": ("b4.out.", ".fromrgb."),
    "rosinality's discriminator": ("final_conv.", "final_linear."),
    "an encoder without its generator": ("input_layer.0.weight", "styles.0.convs.0."),
    "an encoder without its generator (ResNet)": ("body.0.conv1.", "styles.0.convs.0."),
}


def related_kind(tensors: Mapping[str, Tensor | StoredTensor | StoredArray]) -> str | None:
    """Return the kind that is related to StyleGAN2, but is not read, to which these tensors belong."""
    kind = _first(_RELATED, tensors)
    if kind != "StyleGAN3":
        return kind
    layers = [name for name in tensors if "synthesis.L" in name and name.endswith(".weight")]
    sizes = [tuple(one.shape) if isinstance(one, Tensor) else one.size for one in map(tensors.__getitem__, layers)]
    kernels = {size[-1] for size in sizes if len(size) == 4}
    return f"StyleGAN3 (configuration {'r' if kernels == {1} else 't'})"


def unread_kind(tensors: Mapping[str, Tensor | StoredTensor | StoredArray]) -> str | None:
    """Return the kind that is not read to which these tensors belong, or None where it is not known."""
    return related_kind(tensors) or _first(_OTHERS, tensors)


def refusal(kind: str, pointer: str = "") -> CheckpointError:
    """Return the error for a file that holds a network of a kind that is not read."""
    return CheckpointError(f"this is {kind}, which is not read", [Problem(READABLE, pointer)])


def _first(kinds: Mapping[str, tuple[str, ...]], names: Iterable[str]) -> str | None:
    listed = list(names)
    for kind, parts in kinds.items():
        if all(any(part in name for name in listed) for part in parts):
            return kind
    return None
