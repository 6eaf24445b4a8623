"""Recovery from collapse: good states that are kept, and returns to them with other settings."""

from dataclasses import dataclass, field
from typing import Any

from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.players import Players
from core.generators.stylegan2.training.watch import Alarm, CollapseWatch

RETURNING = ("not_finite", "saturated", "recall")
"""Signs after which a training returns to an earlier state; it warns of the others."""
STATES = 2
"""Good states that are kept, the newest ones."""
LEAST_GAMMA = 0.1
"""Weight of R1 before it is doubled, where there was none."""


@dataclass
class Recovery:
    """Judgement of the points so far, good states of the current size, and changes of settings."""

    most_returns: int
    watch: CollapseWatch = field(default_factory=CollapseWatch)
    states: list[bytes] = field(default_factory=list)
    returns: int = 0
    gamma_factor: float = 1.0
    rate_factor: float = 1.0
    warned: list[str] = field(default_factory=list)
    """Signs of the last point's alarms."""

    def good(self, alarms: tuple[Alarm, ...]) -> bool:
        """Return whether the last point shows no sign of collapse, not even one that has not lasted yet."""
        signs = {*self.watch.beyond, *(alarm.sign for alarm in alarms)}
        return not signs & set(RETURNING)

    def keep(self, state: bytes) -> None:
        """Keep a good state; the oldest one goes."""
        self.states = [*self.states[1 - STATES :], state] if STATES > 1 else [state]

    def fresh(self, alarms: tuple[Alarm, ...]) -> list[Alarm]:
        """Return the alarms that the point before did not raise."""
        found = [alarm for alarm in alarms if alarm.sign not in self.warned]
        self.warned = [alarm.sign for alarm in alarms]
        return found

    def return_for(self, alarm: Alarm) -> bytes | None:
        """Change the settings as the alarm advises, and return the last good state; None for the size's beginning. The
        next return goes further back, unless there is a new good state by then.
        """
        self.returns += 1
        if alarm.sign == "not_finite":
            self.rate_factor /= 2
        else:
            self.gamma_factor *= 2
        self.watch.beyond, self.warned = {}, []
        return self.states.pop() if self.states else None

    def last_good_before_signs(self) -> bytes | None:
        """Return the last good state where the current one shows signs of collapse; else None."""
        return self.states[-1] if self.states and not self.good(()) else None

    def begin_size(self) -> None:
        """Forget what belongs to the size before."""
        self.watch, self.states, self.warned = CollapseWatch(self.watch.limits), [], []

    def apply(self, players: Players, config: GanConfig) -> None:
        """Change the settings of a training that was just built."""
        if self.gamma_factor != 1:
            gamma = config.r1_weight(players.discriminator.config.resolution)
            players.r1_gamma = max(gamma, LEAST_GAMMA) * self.gamma_factor
        for adam in (players.generator_adam, players.discriminator_adam):
            for group in adam.param_groups:
                group["lr"] *= self.rate_factor

    def to_json(self) -> dict[str, Any]:
        """Return JSON values without the states, for :meth:`restore`."""
        return {
            "best_recall": self.watch.best_recall,
            "beyond": self.watch.beyond,
            "returns": self.returns,
            "gamma_factor": self.gamma_factor,
            "rate_factor": self.rate_factor,
            "warned": self.warned,
        }

    def restore(self, values: dict[str, Any], states: list[bytes]) -> None:
        """Take over what :meth:`to_json` returned, and the states."""
        self.watch.best_recall, self.watch.beyond = values["best_recall"], values["beyond"]
        self.returns, self.warned = values["returns"], values["warned"]
        self.gamma_factor, self.rate_factor = values["gamma_factor"], values["rate_factor"]
        self.states = states
