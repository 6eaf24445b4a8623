"""One training in processes of one thread each: on two cores a quarter faster than one process with two threads.

Every process holds the same networks and sees scenes of its own; gradients are averaged at every step.
"""

import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

from core.process import environment_to_compute


class Crew:
    """The processes of a training as one of them sees it: ``rank`` of ``size``, the first one tells and saves."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def first(self) -> bool:
        """Whether this is the process that tells and saves."""
        return self.rank == 0

    def average(self, parameters: Sequence[Tensor], number: float) -> float:
        """Average the gradients of all processes in place; returns the average of ``number``, too, the same in all."""
        if self.size == 1:
            return number
        told = torch.tensor([number])
        shared = [*(p.grad for p in parameters if p.grad is not None), told]
        self.add(shared)
        for tensor in shared:
            tensor /= self.size
        return float(told)

    def add(self, parts: Sequence[Tensor]) -> None:
        """Make each tensor, in place, the sum of those of all processes."""
        if self.size == 1:
            return
        together = torch.cat([part.flatten() for part in parts])
        distributed.all_reduce(together)
        for part, total in zip(parts, torch.split(together, [part.numel() for part in parts]), strict=True):
            part.copy_(total.view_as(part))


def together(size: int, work: Callable[..., None], *given: Any) -> None:
    """Run ``work(crew, *given)``, which must be importable, in ``size`` fresh processes of one thread each."""
    os.environ |= environment_to_compute(os.environ)  # a process takes it over when it begins
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_member, (size, port, work, given), nprocs=size)  # type: ignore[no-untyped-call]


def _member(rank: int, size: int, port: int, work: Callable[..., None], given: tuple[Any, ...]) -> None:
    # How a member hears that the program which began it was killed; a shell lets what runs in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=size)
    try:
        work(Crew(rank, size), *given)
    finally:
        distributed.destroy_process_group()
