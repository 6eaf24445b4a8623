"""What narrower networks have learnt, in wider ones: they draw the same at first, and have room to learn more."""

import torch
from torch import Tensor


def widened(learnt: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state ``learnt`` of a generator or its plaster in the shapes of ``fresh``, that of a new one.

    Nothing reads the further channels at first, but they say something, so that gradients reach whatever may read them.
    Raises ValueError, naming the parameter, where ``fresh`` is the smaller one or has other parameters.
    """
    if learnt.keys() != fresh.keys():
        raise ValueError(f"other parameters: {sorted(learnt.keys() ^ fresh.keys())}")
    return {name: _widened(name, old, fresh[name]) for name, old in learnt.items()}


def _widened(name: str, old: Tensor, fresh: Tensor) -> Tensor:
    if old.shape == fresh.shape:
        return old
    if old.ndim != fresh.ndim or any(a > b for a, b in zip(old.shape, fresh.shape, strict=True)):
        raise ValueError(f"{name}: {list(old.shape)} does not go into {list(fresh.shape)}")
    new = fresh.clone()
    outputs = old.shape[0]
    if name.endswith(("affine.weight", "affine.bias")):
        # A style such as others are; both are of one channel, so both take the same one's.
        new[:] = old[torch.arange(len(new)) % outputs]
    elif old.ndim == 2:  # to colours: not demodulated, so the number of inputs tells in their strength
        new[:outputs].zero_()
        new[:outputs, : old.shape[1]] = old * (fresh.shape[1] / old.shape[1]) ** 0.5
    elif old.ndim == 4:
        new[:outputs].zero_()
        new[:outputs, : old.shape[1]] = old
    else:
        new[:outputs] = old
    return new
