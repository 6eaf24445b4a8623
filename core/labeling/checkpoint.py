"""The state of a labeler's training between two steps, as bytes that the caller keeps wherever it likes."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core import checkpoint_io
from core.labeling.conditioning import Conditioning
from core.labeling.ensemble import Ensemble, ensemble_from, ensemble_tensors
from core.labeling.labeler import Head

RUN = "training of a labeler"


@dataclass
class TrainingState:
    """Everything that the next step needs, the data apart."""

    ensemble: Ensemble
    optimizer: torch.optim.Adam
    conditioning: Conditioning
    step: int = 0
    """Steps done."""
    loss_curve: list[tuple[int, float]] = field(default_factory=list)
    held_out_curve: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    """Weights at the best held-out measurement so far."""
    loss_sum: float = 0.0
    """Of the steps since the last point of the loss curve."""

    def to_bytes(self, fingerprint: str) -> bytes:
        """``fingerprint`` names the training (settings, seed and data) that it belongs to."""
        tensors = {f"ensemble.{name}": tensor for name, tensor in self.ensemble.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in (self.best or {}).items()}
        adam = checkpoint_io.optimizer_tensors(self.optimizer)
        tensors |= {f"adam.{name}": tensor for name, tensor in adam.items()}
        tensors |= {f"conditioning.{k}": v for k, v in self.conditioning._asdict().items() if v is not None}
        curves = {"loss_curve": self.loss_curve, "held_out_curve": self.held_out_curve}
        facts = {"step": self.step, "loss_sum": self.loss_sum, **curves}
        return checkpoint_io.pack(tensors, RUN, fingerprint, facts)

    def restore(self, content: bytes, fingerprint: str) -> None:
        """Go on where :meth:`to_bytes` was called. Raises :class:`ResumeError` for another training's state."""
        tensors, facts = checkpoint_io.unpack(content, RUN, fingerprint)
        tensors = {name: tensor.to(self.conditioning.offset.device) for name, tensor in tensors.items()}
        groups = {name: checkpoint_io.within(tensors, name) for name in ("ensemble", "best", "adam", "conditioning")}
        self.ensemble.load_state_dict(groups["ensemble"])
        self.best = groups["best"] or None
        parts = groups["conditioning"]
        self.conditioning = Conditioning(parts["offset"], parts.get("scale"), parts.get("basis"))
        checkpoint_io.restore_optimizer(self.optimizer, groups["adam"])
        self.step, self.loss_sum = facts["step"], facts["loss_sum"]
        self.loss_curve = [(step, loss) for step, loss in facts["loss_curve"]]
        self.held_out_curve = [(step, value) for step, value in facts["held_out_curve"]]


@dataclass(frozen=True)
class Position:
    """Progress of the training of a labeler.

    done: heads of the tasks that are learnt. measured: report of the current task's first training while it is trained
    again on all images, else None. state: of the current training.
    """

    done: tuple[Head, ...] = ()
    measured: dict[str, Any] | None = None
    state: bytes | None = None


def pack_position(position: Position, fingerprint: str) -> bytes:
    """Write a state between two steps as bytes; there is a ``state``."""
    assert position.state is not None
    tensors = {"state": torch.frombuffer(bytearray(position.state), dtype=torch.uint8)}
    for head in position.done:
        tensors |= {f"{head.task}.{name}": tensor for name, tensor in ensemble_tensors(head.ensemble).items()}
    done = [{"task": head.task, "report": head.report} for head in position.done]
    return checkpoint_io.pack(tensors, RUN, fingerprint, {"done": done, "measured": position.measured})


def unpack_position(content: bytes, fingerprint: str, members: int) -> Position:
    """The inverse of :func:`pack_position`. Raises :class:`ResumeError` for damaged bytes or another training's."""
    tensors, facts = checkpoint_io.unpack(content, RUN, fingerprint)
    heads = []
    for fact in facts["done"]:
        start = f"{fact['task']}."
        mine = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
        heads.append(Head(fact["task"], ensemble_from(mine, members), fact["report"]))
    return Position(tuple(heads), facts["measured"], tensors["state"].numpy().tobytes())
