"""Muon: momentum whose matrices are made orthogonal, so that rare directions move as far as common ones.

Nearly all that codes say lies in a few directions of W, and Adam follows those: colours of eyes and lips, which weigh
little in any one matrix, are learnt last. Here every direction of a matrix moves alike (Jordan et al. 2024, "Muon: an
optimizer for hidden layers in neural networks"; steps of the size that Adam would take: Liu et al. 2025, "Muon is
scalable for LLM training"). Convolutions count as matrices of output channels by the rest.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from core.inversion.precision import uses_bfloat16
from testbed.recipes.crew import Crew

MOMENTUM = 0.95
ROUNDS = 5
STEP = 0.2
"""Root mean square of a matrix's step at rate 1, about that of Adam's."""
FEW_ROWS = 8


def is_matrix(parameter: Tensor) -> bool:
    """Whether it has many rows and many columns; what turns features into colours or surface has FEW_ROWS at most."""
    return parameter.ndim >= 2 and min(parameter.flatten(1).shape) > FEW_ROWS


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """About U Vᵀ of a matrix [m, n] with the singular value decomposition U S Vᵀ, by Newton-Schulz iterations in dtype.

    Singular values come out between about 0.7 and 1.2, except those that were next to nothing.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = (wide / wide.norm().clamp(min=1e-7)).to(dtype)
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    factor: Tensor = (x if wide is matrix else x.T).to(matrix.dtype)
    return factor


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two dimensions or more; the processes of a crew share the matrices.

    `torch.optim.Muon` takes the same steps (a test compares them), but refuses convolutions, repeats the whole work in
    every process and always computes in bfloat16, which is slow on processors without instructions for it.
    """

    def __init__(self, params: Iterable[Any], lr: float, crew: Crew) -> None:
        super().__init__(params, {"lr": lr})
        self.crew = crew
        self.dtype = torch.bfloat16 if uses_bfloat16("auto", torch.device("cpu")) else torch.float32

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter along its momentum; all processes must hold the same gradients."""
        del closure
        work = [(g["lr"], p, p.grad) for g in self.param_groups for p in g["params"] if p.grad is not None]
        work.sort(key=lambda one: -one[1].numel())  # the dearest first, so that shares come out alike
        steps = []
        for turn, (_, p, grad) in enumerate(work):
            momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
            momentum.lerp_(grad, 1 - MOMENTUM)
            ahead = grad.lerp(momentum, MOMENTUM).flatten(1)
            own = turn % self.crew.size == self.crew.rank
            steps.append(orthogonal(ahead, self.dtype) if own else torch.zeros_like(ahead))
        self.crew.add(steps)
        for (rate, p, _), step in zip(work, steps, strict=True):
            p.add_(step.view_as(p), alpha=-rate * STEP * max(step.shape) ** 0.5)


def muon_and_adam(
    learners: Sequence[tuple[Sequence[Tensor], float]], crew: Crew, matrix_pace: float = 1.0
) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for matrices and Adam for the rest; their rates come from `set_rate`.

    learners: parameters and their pace, the factor of their rate; matrix_pace: a further factor for matrices.
    """
    groups: dict[bool, list[dict[str, Any]]] = {
        matrices: [
            {"params": [p for p in parameters if is_matrix(p) is matrices], "pace": pace * further}
            for parameters, pace in learners
        ]
        for matrices, further in ((False, 1.0), (True, matrix_pace))
    }
    return torch.optim.Adam(groups[False], lr=0.0, betas=(0.9, 0.99), fused=True), Muon(groups[True], 0.0, crew)


def set_rate(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """Of what `muon_and_adam` made: each group's rate is its pace of this one."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = rate * group["pace"]
