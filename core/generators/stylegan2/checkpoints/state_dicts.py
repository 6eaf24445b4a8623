"""StyleGAN2 generators as plain tables of tensors.

``torch.save`` files of rosinality (``g_ema``), of ReStyle, pSp and e4e (``state_dict`` with ``decoder.``), of training
under DataParallel (``module.``), of Lightning (``state_dict`` with ``G_ema.``), bare ones, and the same in safetensors.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from core.checkpoints.limits import Limits
from core.checkpoints.state_dicts import Marks, StateDict, choose, read_all, state_dicts, tables
from core.checkpoints.values import StoredTensor
from core.generators.answers import Answers
from core.generators.stylegan2.checkpoints.found import Found
from core.generators.stylegan2.checkpoints.nvidia import read_nvidia_state
from core.generators.stylegan2.checkpoints.other_kinds import refusal, related_kind, unread_kind
from core.generators.stylegan2.checkpoints.rosinality import read_rosinality_state

LATENT_AVG = "latent_avg"
MARKS: Marks = {
    "rosinality": ("input.input", "conv1.conv.modulation.weight", "to_rgb1.conv.modulation.weight"),
    "nvidia": ("mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.affine.weight"),
}
_READ: Mapping[str, Callable[[dict[str, Tensor], str, Answers], Found]] = {
    "rosinality": read_rosinality_state,
    "nvidia": read_nvidia_state,
}


def read_chosen(chosen: StateDict[Tensor], answers: Answers) -> Found:
    """Return the generator of a table whose tensors are read. Raises :class:`CheckpointError`."""
    return _READ[chosen.layout](chosen.tensors, chosen.name, answers)


def read_state_dicts(value: Any, answers: Answers, limits: Limits) -> Found | None:
    """Return the generator in the value of a ``torch.save`` file, or None where there is none.

    Raises :class:`CheckpointError` for a generator of another kind, and as the layouts do.
    """
    found: list[StateDict[StoredTensor]] = []
    kinds: list[str] = []
    for place, tensors, above in tables(value, (LATENT_AVG,)):
        related = related_kind(tensors)
        inside = [] if related else state_dicts(tensors, MARKS, place)
        kinds += [kind for kind in (related or unread_kind(tensors),) if kind and not inside]
        for one in inside:
            average = {LATENT_AVG: above[LATENT_AVG]} if LATENT_AVG in above else {}
            found.append(StateDict(one.name, one.layout, average | one.tensors))
    if not found and kinds:
        raise refusal(kinds[0])
    if not found:
        return None
    chosen = choose(found, answers.network)
    return read_chosen(StateDict(chosen.name, chosen.layout, read_all(chosen.tensors, limits)), answers)
