"""Check stored weights against the tensors that a network expects."""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.errors import GeneratorError, Problem


def frozen_weights(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str, device: torch.device | str
) -> dict[str, Tensor]:
    """Return ``state`` on ``device``, floats as float32, ready for ``load_state_dict(..., assign=True)``.

    wanted: the network's own state, its tensors may be on the device "meta". name: of the generator, for errors. Raises
    :class:`GeneratorError` that names every missing, unexpected, misshapen or non-finite tensor.
    """
    problems = [Problem("missing", key) for key in sorted(wanted.keys() - state.keys())]
    problems += [Problem("unexpected tensor", key) for key in sorted(state.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & state.keys()):
        if state[key].shape != wanted[key].shape:
            problems.append(Problem(f"shape {list(state[key].shape)}, expected {list(wanted[key].shape)}", key))
        elif state[key].is_floating_point() != wanted[key].is_floating_point():
            problems.append(Problem(f"{state[key].dtype}, expected {wanted[key].dtype}", key))
        elif state[key].is_floating_point() and not state[key].isfinite().all():
            problems.append(Problem("not finite", key))
    if problems:
        raise GeneratorError(f"the weights of {name} do not fit its configuration", problems)
    # Copied, so that each tensor is aligned as torch's own are: the last bit of a product may depend on it.
    return {
        key: tensor.to(device, torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        for key, tensor in state.items()
    }
