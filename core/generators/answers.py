"""What a caller states about a checkpoint where the file itself does not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields

from core.errors import CheckpointError, Problem

Answer = bool | int | float | str


@dataclass(frozen=True)
class Answers:
    """Answers to the questions that an import asks. Whatever the file itself states must agree."""

    network: str | None = None
    """Which of several generators in the file: ``G_ema``, ``G``, ``Gs``, ``g_ema``, ``g``. Default: the average."""
    mapping_lr_multiplier: float | None = None
    conv_clamp: float | None = None
    """0: nothing is clamped."""
    others: Mapping[str, Answer] = field(default_factory=dict)
    """Answers to questions about the files of one family."""

    @classmethod
    def of(cls, values: Mapping[str, Answer | None]) -> "Answers":
        """Return the answers of a request, by name; None is no answer."""
        own = {one.name for one in fields(cls)} - {"others"}
        given = {name: value for name, value in values.items() if value is not None}
        others = {name: value for name, value in given.items() if name not in own}
        return cls(**{name: value for name, value in given.items() if name in own}, others=others)  # type: ignore[arg-type]

    def check_names(self, known: Collection[str]) -> None:
        """Raise :class:`CheckpointError` for other answers than those that ``known`` lists, the network apart."""
        given = {name for name in ("mapping_lr_multiplier", "conv_clamp") if getattr(self, name) is not None}
        listed = ", ".join(sorted(known))
        unknown = sorted((given | self.others.keys()) - set(known))
        if unknown:
            problems = [Problem(f"no question about such files; there are: {listed}", name) for name in unknown]
            raise CheckpointError("these answers do not fit this file", problems)
