"""One training in several processes, each with a part of every batch, that agree with a single process.

Start them with ``torchrun`` and ``torch.distributed.init_process_group``; without these there is one process. Every
process draws the random numbers of the whole batch and takes its own rows, so that the images are those of a single
process. Statistics over a batch are taken over all of it. The groups of the minibatch statistic stay together: image
``i`` belongs to group ``i mod M``, and a process has whole groups.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.overrides import TorchFunctionMode

from core.errors import GeneratorError, Problem

_SHAPED: tuple[Callable[..., Any], ...] = (torch.rand, torch.randn)
_LIKE: tuple[Callable[..., Any], ...] = (torch.rand_like, torch.randn_like)


class Processes:
    """The process's place among ``size`` processes with one batch. With a single one every method is the identity."""

    def __init__(self, batch: int = 1, stddev_group: int = 1) -> None:
        """batch, stddev_group: of the whole training. Raises :class:`GeneratorError` where the groups cannot be shared
        out evenly.
        """
        several = dist.is_available() and dist.is_initialized()
        self.size, self.rank = (dist.get_world_size(), dist.get_rank()) if several else (1, 0)
        group = next(size for size in range(min(stddev_group, batch), 0, -1) if batch % size == 0)
        self.groups = batch // group
        if self.groups % self.size:
            detail = f"expected groups of the minibatch statistic in a multiple of {self.size} processes"
            raise GeneratorError(
                "the batch cannot be shared out", [Problem(f"{detail}, found {batch} / {group}", "batch")]
            )

    def rows(self, count: int) -> list[int]:
        """Return the rows of a batch of ``count`` that are this process's, in their order here."""
        groups = self.groups if count % self.groups == 0 else self.size
        if count % groups:
            raise GeneratorError(
                "the batch cannot be shared out",
                [Problem(f"expected a multiple of {self.size} processes, found {count}", "batch")],
            )
        own = groups // self.size
        return [row + self.rank * own + place for row in range(0, count, groups) for place in range(own)]

    def share(self, count: int) -> int:
        """Return how many rows of a batch of ``count`` are this process's."""
        return count // self.size

    def own(self, items: Sequence[int]) -> list[int]:
        """Return this process's part of one item for each row of the whole batch."""
        return [items[place] for place in self.rows(len(items))] if self.size > 1 else list(items)

    def whole(self, rows: Tensor) -> Tensor:
        """Return the rows of the whole batch, in its order, of this process's rows [n, …].

        Gradients flow to this process's rows as if the loss of the whole batch were the mean of the processes' losses.
        """
        if self.size == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, self)  # type: ignore[no-untyped-call]
        return gathered

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over the processes, without a gradient."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def mean_gradients(self, weights: Sequence[torch.nn.Parameter]) -> None:
        """Replace all gradients by their means over the processes, in one message."""
        if self.size == 1:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat / self.size, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    @contextmanager
    def own_random_numbers(self) -> Iterator[None]:
        """Within the context random tensors with rows are those of the whole batch, cut to this process's rows."""
        if self.size == 1:
            yield
            return
        with _OwnRows(self):
            yield


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor, processes: Processes) -> Tensor:
        context.processes = processes
        parts = [torch.empty_like(rows) for _ in range(processes.size)]
        dist.all_gather(parts, rows.contiguous())
        places = torch.cat([torch.tensor(places) for places in _all_rows(processes, len(rows) * processes.size)])
        whole = torch.empty_like(torch.cat(parts))
        whole[places.to(rows.device)] = torch.cat(parts)
        return whole

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        processes: Processes = context.processes
        # Gradients of weights become means over the processes; the loss on the whole batch counts once.
        return gradient[processes.rows(len(gradient))] * processes.size, None


def _all_rows(processes: Processes, count: int) -> list[list[int]]:
    found = []
    for rank in range(processes.size):
        other = object.__new__(Processes)
        other.size, other.rank, other.groups = processes.size, rank, processes.groups
        found.append(other.rows(count))
    return found


class _OwnRows(TorchFunctionMode):
    """Draws random tensors [n, …] as [size * n, …], and takes the process's rows. Numbers without rows are shared."""

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.processes = processes

    def __torch_function__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = dict(named or {})
        if function in _LIKE:
            like, function = arguments[0], _SHAPED[_LIKE.index(function)]
            return self._drawn(function, (), tuple(like.shape), {"dtype": like.dtype, "device": like.device, **named})
        if function in _SHAPED:
            first = arguments[0] if arguments else ()
            return self._drawn(function, (), tuple(first) if isinstance(first, list | tuple) else arguments, named)
        if function is torch.randint:
            shape = named.pop("size") if "size" in named else arguments[-1]
            return self._drawn(function, arguments if len(arguments) < 3 else arguments[:-1], tuple(shape), named)
        if function is torch.multinomial:
            shares, count, *others = arguments
            drawn = torch.multinomial(shares, self.processes.size * count, *others, **named)
            return drawn[self.processes.rows(len(drawn))]
        return function(*arguments, **named)

    def _drawn(self, function: Any, before: tuple[Any, ...], shape: tuple[int, ...], named: dict[str, Any]) -> Any:
        if not shape:
            return function(*before, shape, **named)
        whole = function(*before, (self.processes.size * shape[0], *shape[1:]), **named)
        return whole[self.processes.rows(len(whole))]
