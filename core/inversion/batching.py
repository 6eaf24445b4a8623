"""How many images are inverted at once: as many as the free memory holds."""

from pathlib import Path

import torch
from torch import Tensor

from core.inversion.objective import Objective

ACTIVATION_OVERHEAD = 1.5
"""Memory of a step over what autograd keeps: gradients on the way and the convolutions' own workspace."""

CPU_BUDGET = 256 << 20
"""On a CPU a batch beyond this is slower an image: memory is taken from the system and given back at every step."""

GPU_SHARE = 0.8
"""Of a device's free memory; the rest is for what the allocator cannot use in pieces."""


def memory_budget(device: torch.device | str) -> int:
    """Bytes that a batch may take on ``device``: most of what is free on a GPU, on a CPU half of what is available and
    256 MiB at most.
    """
    device = torch.device(device)
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return int(free * GPU_SHARE)
    available = available_memory()
    return CPU_BUDGET if available is None else min(CPU_BUDGET, available // 2)


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that new work can have without swapping, as the kernel estimates it; None where there is no such estimate.

    Read again at each call.
    """
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
        return int(lines["MemAvailable"].removesuffix("kB")) * 1024
    except (OSError, ValueError, KeyError):
        return None


def images_at_once(objective: Objective, device: torch.device | str) -> int:
    """Images in a batch, at least one: what the settings say, or what fits the memory."""
    config = objective.config
    if config.batch is not None:
        return config.batch
    budget = memory_budget(device) if config.memory_budget is None else config.memory_budget
    return max(1, budget // bytes_per_image(objective, device))


def bytes_per_image(objective: Objective, device: torch.device | str) -> int:
    """Memory that one more image in the batch takes: what autograd keeps of one step on one image, counted."""
    sampler = objective.sampler
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        # What belongs to the image has it as its first dimension; weights, and their copies in bfloat16, do not.
        if tensor.ndim and tensor.shape[0] == 1:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    codes = sampler.centre.to(device).expand(1, sampler.rows, -1).clone()
    target = torch.zeros(1, 3, *sampler.resolution, device=device)
    features = objective.features(target)
    maps = objective.noise_maps(1)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        for variable in (codes, *maps):
            variable.requires_grad_()
        losses = objective.losses(codes, codes.detach(), target, features, maps)
    # Each variable has two moments of Adam and a gradient beside it.
    variables = 4 * sum(variable.nbytes for variable in (codes, *maps))
    total = sum(kept.values()) + sum(tap.nbytes for tap in features) + target.nbytes + variables
    assert losses.total.numel() == 1
    return int(total * ACTIVATION_OVERHEAD)
